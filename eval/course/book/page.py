"""A page of the course: its way to the others, its sections, its text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from latentgeo.core.run.text import read_text
from latentgeo.eval.course.book.markdown import line
from latentgeo.eval.course.text import Chapter
from latentgeo.eval.page.theme import document

HERE = Path(__file__).parent
OTHERS = {"glossary.html": "Glossary", "symbols.html": "Symbols", "equations.html": "Equations"}


def page(
    title: str,
    text: str,
    sections: Sequence[tuple[str, str]],
    *,
    ways: str = "",
    note: str = "",
) -> str:
    """Return a page of a text in HTML, which has the title; `ways` lead to its neighbours."""
    others = "".join(f'<a href="{to}">{name}</a>' for to, name in OTHERS.items())
    items = "".join(f'<li><a href="#{name}">{line(one)}</a></li>' for name, one in sections)
    aside = f'<nav class="contents" aria-label="sections"><ol>{items}</ol></nav>' if items else ""
    below = f"<p>{note}</p>" if note else ""
    return document(
        title,
        read_text(HERE / "style.css"),
        f'<header><nav aria-label="course"><a href="index.html">Contents</a>{others}</nav>'
        f"</header>\n{aside}<main>\n{text}</main>\n<footer>{ways}{below}</footer>",
        read_text(HERE / "script.js"),
    )


def ways(chapter: Chapter, chapters: Sequence[Chapter]) -> str:
    """Return links to the chapters before and behind."""
    at = [one.number for one in chapters].index(chapter.number)
    before, behind = chapters[at - 1 : at] if at else (), chapters[at + 1 : at + 2]
    links = [f'<a rel="prev" href="{address(one)}">← {escape(one.title)}</a>' for one in before]
    links += [f'<a rel="next" href="{address(one)}">{escape(one.title)} →</a>' for one in behind]
    return f'<nav class="ways" aria-label="chapters">{"".join(links)}</nav>' if links else ""


def address(chapter: Chapter) -> str:
    """Return the name of a chapter's page."""
    return f"{chapter.path.stem}.html"
