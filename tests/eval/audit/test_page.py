"""The page has every equation with its sources and verdict, and reaches for nothing else."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from latentgeo.eval.audit.check import Outcome
from latentgeo.eval.audit.ledger import ROOT, papers, row_of
from latentgeo.eval.audit.page import html_page
from latentgeo.eval.audit.references import source_of

DDIM = next(paper for paper in papers() if paper.key == "DDIM")
VOID = {"meta", "br", "input"}


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
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    return html_page(papers(), {}, path), path


def page_of(paper, outcomes):
    return html_page((paper,), outcomes, ROOT / "page.html")


def test_it_is_well_formed_and_needs_nothing_else(whole):
    text, path = whole
    page = read(text)
    assert len(page.names) == len(set(page.names))
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside <= set(page.names)
    files = {link for link in page.links if link[0] not in "#?"}
    assert all((path.parent / file).is_file() for file in files) and files
    assert not re.search(r"https?://|@import|url\((?!data:)", text)


def test_every_source_is_there_with_its_lines(whole):
    text = read(whole[0]).text
    for row in DDIM.rows:
        for reference in row.code + row.tests:
            first, source = source_of(reference)
            for number, line in enumerate(source.splitlines(), first):
                assert f"{number}  {line}" in text, (reference, line)


def test_every_row_can_be_searched_and_filtered(whole):
    rows = re.findall(r'<article id="([^"]+)" data-verdict="([^"]+)" data-text="([^"]*)"', whole[0])
    assert len(rows) == sum(len(paper.rows + paper.errata) for paper in papers())
    boxes = set(re.findall(r'<input type="checkbox" value="([^"]+)"', whole[0]))
    assert {verdict for _, verdict, _ in rows} == boxes
    assert all(anchor.split("-")[0].lower() in text for anchor, _, text in rows)


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (Outcome("failed", 2e-4), '<span class="chip failed">failed, error 2.0e-04</span>'),
        (Outcome("passed", 2e-3), '<span class="chip rough">passed, error 2.0e-03</span>'),
        (
            Outcome("passed", 0.0, 2.5, 30),
            '<span class="chip passed">passed, error 0.0e+00, 2.5 standard errors (n = 30)</span>',
        ),
    ],
)
def test_the_colour_is_that_of_exact_comparisons(outcome, wanted):
    page = page_of(DDIM, {DDIM.rows[0].tests[0]: outcome})
    assert wanted in page and f"Tests were run for this page: 1 {outcome.status}" in page
    assert "No test was run" in page_of(DDIM, {})


def test_what_differs_from_print_is_marked():
    row = replace(DDIM.rows[0], printed="x + y", here="x - y")
    page = page_of(replace(DDIM, rows=(row,)), {})
    marked = re.findall(r'<m[oin][^>]* class="diff[^"]*">([^<]*)<', page)
    assert [html.unescape(text) for text in marked] == ["+", "\u2212"]


def test_prose_errata_and_what_is_left_out():
    erratum = replace(row_of("Smooth Err. 1"), printed="Eq. 9 is < `that`", prose=True)
    row = replace(DDIM.rows[0], code=(), tests=(), verdict="not here", notes="<no> data")
    page = page_of(replace(DDIM, rows=(row,), errata=(erratum,)), {})
    assert "<p>Eq. 9 is &lt; <code>that</code></p>" in page
    assert '<span class="chip not-here">not here</span>' in page
    assert '<p class="note">&lt;no&gt; data</p>' in page
