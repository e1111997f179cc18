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


def test_pages_of_several_sections_have_contents_after_what_comes_first():
    sections = [report.section(title) for title in ("A & B", "Two words", "C")]
    text = report.page("Title", report.paragraph("first"), *sections)
    assert check(text) == ["#a-b", "#two-words", "#c"]
    assert text.index("first") < text.index("<nav") < text.index('<section id="a-b"')
    assert "<nav" not in report.page("Title", *sections[:2])
    assert "<nav" not in report.page("Title", report.paragraph("no section"))


def test_long_tables_are_folded():
    short, long = (report.table(["a"], [["1"]] * n) for n in (report.LONG, report.LONG + 1))
    assert "<details" not in short
    check(report.page("", long))
    assert long.startswith(f"<details><summary>Table of {report.LONG + 1} rows</summary>")


def test_a_list_is_escaped():
    assert report.points(["a < b", "c"]) == "<ul><li>a &lt; b</li><li>c</li></ul>"
