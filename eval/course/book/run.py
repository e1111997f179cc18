"""`latentgeo book`: the chapters as a site, their numbers and pictures computed in the run."""

from __future__ import annotations

import time
from pathlib import Path

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import say
from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.article import anchor_of
from latentgeo.eval.audit.ledger import ROOT, papers
from latentgeo.eval.audit.page import html_page
from latentgeo.eval.course.book import kept
from latentgeo.eval.course.book.indexes import contents, glossary, symbol_index
from latentgeo.eval.course.book.markdown import Around, body
from latentgeo.eval.course.book.page import address, page, ways
from latentgeo.eval.course.book.settings import Book
from latentgeo.eval.course.computed import kept as read_kept
from latentgeo.eval.course.text import CHAPTERS, Chapter, chapter_of, chapters, exercises
from latentgeo.eval.page.numbers import filled


def write_book(cmd: Book, folder: Path = CHAPTERS) -> Path:
    """Compute the chapters, write their pages and those beside them; return the first page.

    Raises FileNotFoundError where `write` is asked for and there is no checkout.
    """
    if cmd.write and not (ROOT / "setup.py").is_file():
        raise FileNotFoundError(f"write: {ROOT} is no checkout; its texts stay as installed")
    every = chapters(folder)
    for chapter in every if cmd.chapter is None else (chapter_of(cmd.chapter, folder),):
        start = time.monotonic()
        files, ran = kept.computed(chapter.script, cmd.quick, cmd.out / "computed")
        if cmd.write:
            write_chapter(chapter, files)
        text = chapter_page(chapter, files, cmd.quick, ways(chapter, every))
        atomic_write(cmd.out / address(chapter), text)
        seconds = f"computed in {time.monotonic() - start:.1f} s" if ran else "kept"
        say(f"{chapter.path.stem}: {seconds}")
    if cmd.write:
        write_indexes(folder)
    for name, text in beside(folder).items():
        atomic_write(cmd.out / name, text)
    return cmd.out / "index.html"


def chapter_page(chapter: Chapter, files: dict[str, bytes], quick: bool, ways: str) -> str:
    """Return the page of a chapter with what its script computed, and ways to its neighbours.

    A quick run's pictures stand beside the numbers of the text, which a whole run found.
    """
    numbers, captions = read_kept(files)
    text = chapter.text if quick else filled(chapter.text, numbers)
    hints = {one.key: one.hint for one in exercises(chapter)}
    html, sections = body(text, Around(files=files, captions=captions, hints=hints))
    script = f"<code>eval/course/scripts/{chapter.script}.py</code>"
    note = f"Numbers and pictures are computed by {script}."
    if quick:
        note = f"Pictures are of a short run of {script}, numbers of a whole one."
    return page(chapter.title, html, sections, ways=ways, note=note)


def beside(folder: Path) -> dict[str, str]:
    """Return the pages beside the chapters: the first, glossary, symbols and equations."""
    every = chapters(folder)
    texts = {
        "index.html": contents(read_text(folder / "README.md"), every),
        "glossary.html": glossary(every),
        "symbols.html": symbol_index(every),
    }
    found = {}
    for name, text in texts.items():
        html, _ = body(text)
        title = text.partition("\n")[0].removeprefix("# ")
        found[name] = page(title, html, ())
    lessons: dict[str, list[tuple[str, str]]] = {}
    for chapter in every:
        for tag in chapter.tags:
            place = f"{address(chapter)}#{anchor_of(tag)}"
            lessons.setdefault(tag, []).append((place, f"{chapter.number} {chapter.title}"))
    return found | {"equations.html": html_page(papers(), {}, None, lessons)}


def write_chapter(chapter: Chapter, files: dict[str, bytes]) -> None:
    """Write what was computed into the checkout: pictures, numbers, and these in today's text."""
    for path in chapter.figures.glob("*"):
        if path.name not in files:
            path.unlink()
    kept.write(files, chapter.figures)
    atomic_write(chapter.path, filled(read_text(chapter.path), read_kept(files)[0]))


def write_indexes(folder: Path) -> None:
    """Write what is collected over the chapters into the checkout."""
    every, start = chapters(folder), folder / "README.md"
    atomic_write(start, contents(read_text(start), every))
    atomic_write(folder / "glossary.md", glossary(every))
    atomic_write(folder / "symbols.md", symbol_index(every))
