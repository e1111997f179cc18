"""The page has every equation with its sources and verdict, and reaches for nothing else."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from latentgeo.eval.audit.check import Outcome
from latentgeo.eval.audit.ledger import papers, row_of
from latentgeo.eval.audit.page import html_page
from latentgeo.eval.audit.references import source_of

DDIM = next(paper for paper in papers() if paper.key == "DDIM")
VOID = {"meta", "br"}


class Checker(HTMLParser):
    """Collects the text, the addresses and the names of a page, and sees that tags pair."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.names = [], "", [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        words = dict(attributes)
        self.links += [words[name] for name in ("href", "src") if name in words]
        self.names += [words["id"]] if "id" in words else []

    def handle_startendtag(self, tag, attributes):
        assert tag.startswith("m")  # of MathML

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(page):
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return checker


@pytest.fixture(scope="module")
def whole():
    return html_page(papers(), {})


def test_it_is_well_formed_and_needs_nothing_else(whole):
    page = read(whole)
    assert len(page.names) == len(set(page.names))
    assert {link.removeprefix("#") for link in page.links} <= set(page.names)
    assert not re.search(r"https?://|@import|url\(", whole)


def test_every_source_is_there_with_its_lines(whole):
    text = read(whole).text
    for row in DDIM.rows:
        for reference in row.code + row.tests:
            first, source = source_of(reference)
            for number, line in enumerate(source.splitlines(), first):
                assert f"{number}  {line}" in text, (reference, line)


def test_verdicts_errors_notes_and_errata():
    test = DDIM.rows[0].tests[0]
    erratum = replace(row_of("Smooth Err. 1"), printed="Eq. 9 is < `that`", prose=True)
    page = html_page((replace(DDIM, errata=(erratum,)),), {test: Outcome("failed", 2e-4)})
    assert '<span class="verdict failed">failed, error 2.0e-04</span>' in page
    assert "Tests were run for this page: 1 failed" in page
    assert "<p>Eq. 9 is &lt; <code>that</code></p>" in page
    assert "No test was run" in html_page((DDIM,), {})


def test_what_is_left_out_says_so():
    row = replace(DDIM.rows[0], code=(), tests=(), verdict="not here", notes="<no> data")
    page = html_page((replace(DDIM, rows=(row,)),), {})
    assert "<b>not here</b> &lt;no&gt; data" in page
