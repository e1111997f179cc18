"""The tab Equations: the audit page, to which all tabs point."""

from functools import cache

from latentgeo.eval.audit.ledger import papers
from latentgeo.eval.audit.page import html_page
from latentgeo.eval.studio.desk import Desk

TITLE = "Equations"


@cache
def page() -> str:
    """Return the page of all equations, without links to files of this machine."""
    return html_page(papers(), {}, None)


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    gr.HTML('<iframe class="equations" src="equations" loading="lazy" title="equations"></iframe>')
