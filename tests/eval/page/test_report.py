"""The report's parts: escaped, self-contained, well-formed."""

from html.parser import HTMLParser

import pytest
from PIL import Image

from latentgeo.eval.page import report

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects open tags, and every address that a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]
        assert tag not in ("script", "link", "iframe")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text):
    parser = Checker()
    parser.feed(text)
    assert not parser.open
    return parser.fetched


def test_page_is_whole_and_fetches_nothing():
    text = report.page(
        "A & B",
        report.section(
            "One",
            report.paragraph("x < y", soft=True),
            report.picture(Image.new("RGB", (3, 2)), "alt", "under it"),
            report.table(["a", "b"], [["1", "<2>"]]),
            report.preformatted("k: v"),
        ),
    )
    fetched = check(text)
    assert len(fetched) == 1 and fetched[0].startswith("data:image/png;base64,")
    assert "x &lt; y" in text and "&lt;2&gt;" in text and "<title>A &amp; B</title>" in text
    assert "prefers-color-scheme: dark" in text and "http" not in text


def test_markup_in_text_stays_text():
    text = report.page("<script>", report.paragraph('"><script>alert(1)</script>'))
    check(text)


def test_ragged_tables_are_refused():
    with pytest.raises(ValueError, match=r"got \[1\] cells, wanted 2 in each"):
        report.table(["a", "b"], [["1"]])
