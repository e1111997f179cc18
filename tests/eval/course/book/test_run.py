"""The book as a site: pages that lead to each other, and to nothing else."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.eval.audit.article import anchor_of
from latentgeo.eval.course.book import kept, markdown, run
from latentgeo.eval.course.book.run import write_book
from latentgeo.eval.course.book.settings import Book
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.text import chapters

TEXT = """# Walks

A lead.

## Why

It is <!--=half-->0.00<!--/--> of $x$, [DDIM Eq. 9](../../../core/papers/ddim.md#ddim-eq-9).

![a walk](figures/walks/walk.frames.png)

## Exercises

### Exercise step: one

Write it.

## Symbols

| symbol | meaning | shape or range |
| :-- | :-- | :-- |
| $x$ | data | (B, …) |

## Terms

- **walk**: from one place to another.
"""
TOML = '[[exercise]]\nkey = "step"\nfunctions = ["core/ddim.py:step"]\nhint = "two terms"\n'
FRAMES = {f"{i}": Image.new("RGB", (9, 7), (30 * i, 0, 0)) for i in range(5)}
FOUND = Computed(numbers={"half": 0.5}, frames={"walk": FRAMES})


class Reader(HTMLParser):
    """Collects the names of a page, its links, and what it loads; sees that tags pair."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names, self.links, self.loaded, self.open, self.alts = [], [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        words = dict(attributes)
        self.names += [words["id"]] if "id" in words else []
        self.links += [words["href"]] if tag == "a" and "href" in words else []
        self.loaded += [
            words[name] for name in ("src", "srcset", "data", "action") if name in words
        ]
        self.loaded += [words["href"]] if tag == "link" else []
        if tag == "img":
            self.alts.append(words.get("alt", ""))
        if tag not in ("meta", "img", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        assert tag.startswith("m")  # of MathML


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "chapters"
    place.mkdir()
    (place / "01-walks.md").write_text(TEXT, encoding="utf-8")
    (place / "01-walks.toml").write_text(TOML, encoding="utf-8")
    (place / "02-more.md").write_text(TEXT.replace("Walks", "More & more"), encoding="utf-8")
    (place / "02-more.toml").write_text(TOML, encoding="utf-8")
    start = "# Course\n\n<!--chapters-->\n<!--/chapters-->\n"
    (place / "README.md").write_text(start, encoding="utf-8")
    monkeypatch.setattr(kept, "compute", lambda script, quick: FOUND)
    monkeypatch.setattr(kept, "key", lambda script, quick: "0")
    return place


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The chapters of the tree with the pictures that it keeps, which no script makes again."""
    out = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        figures = {one.script: one.figures for one in chapters()}
        patch.setattr(kept, "computed", lambda script, *_: (kept.read(figures[script]), False))
        write_book(Book(out=out))
    return out, {path.name: path.read_text("utf-8") for path in sorted(out.glob("*.html"))}


def test_the_site_has_every_page_and_its_links_lead_somewhere(site):
    _, pages = site
    names = {f"{one.path.stem}.html" for one in chapters()}
    assert set(pages) == names | {"index.html", "glossary.html", "symbols.html", "equations.html"}
    read = {name: Reader(page) for name, page in pages.items()}
    for name, page in read.items():
        assert len(page.names) == len(set(page.names)), name
        for link in page.links:
            if name == "equations.html" and link.startswith("?"):
                continue
            place, _, anchor = link.partition("#")
            assert not anchor or anchor in read[place or name].names, f"{name}: {link}"
            assert not place or place in read, f"{name}: {link}"


def test_nothing_is_asked_of_another_host(site):
    for name, page in site[1].items():
        assert all(one.startswith("data:") for one in Reader(page).loaded), name
        assert all(one.startswith("data:") for one in re.findall(r"url\(\s*['\"]?([^)]*)", page)), (
            name
        )
        assert not re.search(r"@import|<link|<iframe|fetch\(|XMLHttpRequest|sendBeacon", page), name


def test_pictures_say_what_is_seen(site):
    for name, page in site[1].items():
        assert all(len(alt) > 20 for alt in Reader(page).alts), name


def test_every_equation_leads_to_its_lesson_and_back(site):
    page = Reader(site[1]["equations.html"])
    for chapter in chapters():
        for tag in chapter.tags:
            assert f"{chapter.path.stem}.html#{anchor_of(tag)}" in page.links


def test_one_chapter_alone(folder, tmp_path, capsys):
    index = write_book(Book(out=tmp_path / "out", chapter=2), folder)
    assert {one.name for one in index.parent.glob("0*.html")} == {"02-more.html"}
    page = (index.parent / "02-more.html").read_text("utf-8")
    assert "<title>More &amp; more</title>" in page and "It is 0.50 of" in page
    assert '<a rel="prev" href="01-walks.html">← Walks</a>' in page and 'rel="next"' not in page
    assert "02-more: computed in" in capsys.readouterr().out


def test_a_quick_run_leaves_the_numbers_of_the_text(folder, tmp_path):
    index = write_book(Book(out=tmp_path / "out", chapter=1, quick=True), folder)
    page = (index.parent / "01-walks.html").read_text("utf-8")
    assert "It is 0.00 of" in page and "Pictures are of a short run" in page


def test_numbers_pictures_and_indexes_are_written_into_the_checkout(folder, tmp_path):
    (folder / "figures" / "walks").mkdir(parents=True)
    (folder / "figures" / "walks" / "old.svg").write_text("<svg/>")
    write_book(Book(out=tmp_path / "out", write=True), folder)
    assert "<!--=half-->0.50<!--/-->" in (folder / "01-walks.md").read_text("utf-8")
    figures = {path.name for path in (folder / "figures" / "walks").iterdir()}
    assert figures == {"numbers.json", "walk.frames.png"}
    assert "1. [Walks](01-walks.md). A lead." in (folder / "README.md").read_text("utf-8")
    assert "**walk**: from one place" in (folder / "glossary.md").read_text("utf-8")
    assert "| $x$ | data |" in (folder / "symbols.md").read_text("utf-8")


def test_wishes_that_cannot_be_are_refused(folder, tmp_path, monkeypatch, capsys):
    assert main(["book", "--out", str(tmp_path / "out"), "--quick", "--write"]) == 2
    assert "--write and --quick: got both" in capsys.readouterr().err
    monkeypatch.setattr(run, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^write: .* is no checkout"):
        write_book(Book(out=tmp_path / "out", write=True), folder)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    markdown._parser.cache_clear()
    with pytest.raises(RuntimeError, match=r"pip install 'latentgeo\[course\]'"):
        markdown.body("text")
    markdown._parser.cache_clear()


WIDE = """<script>addEventListener("load", () => {
  document.body.dataset.wide = document.documentElement.scrollWidth - Math.min(innerWidth, 500);
});</script>"""


def opened(path, profile):
    """Open a page on a phone; return what scripts have made of it, and complaints."""
    command = "chromium --headless --no-sandbox --disable-gpu --enable-logging=stderr".split()
    command += ["--window-size=400,900", "--hide-scrollbars"]
    command += ["--virtual-time-budget=3000", f"--user-data-dir={profile}", "--dump-dom"]
    done = subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_has_nothing_to_complain_of(site, tmp_path):
    """What a page would ask of another host is a complaint, as its own rule forbids it."""
    _, pages = site
    for name, page in pages.items():
        (tmp_path / name).write_text(page.replace("</main>", f"</main>{WIDE}"), "utf-8")
        found, complaints = opened(tmp_path / name, tmp_path)
        assert not complaints, name
        assert 'data-wide="0"' in found, f"{name} scrolls sideways"
        assert found.count('type="range"') == page.count('class="frames"'), name
    bad = tmp_path / "bad.html"
    bad.write_text(page.replace("</main>", '<img src="https://example.org/a.png" alt="">'), "utf-8")
    assert "Content Security Policy" in opened(bad, tmp_path)[1][0]
