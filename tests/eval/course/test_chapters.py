"""The chapters of the tree: numbers are computed and not stale, and what they name is there."""

import re
import tomllib

import pytest

from latentgeo.eval.audit.ledger import row_of, rows
from latentgeo.eval.audit.references import locate
from latentgeo.eval.course.book.indexes import contents, glossary, symbol_index
from latentgeo.eval.course.book.kept import read
from latentgeo.eval.course.book.markdown import Around, body, slug
from latentgeo.eval.course.computed import NUMBERS, compute, kept
from latentgeo.eval.course.text import (
    CHAPTERS,
    ROW,
    chapters,
    exercises,
    symbols,
    terms,
    unmarked,
)
from latentgeo.eval.page.numbers import MARK, stale

CHEAP = ("noise",)  # scripts whose whole run takes seconds
INDEXES = ("README.md", "glossary.md", "symbols.md")
MOST = 900_000  # bytes of all pictures and numbers
LAST = ["What goes wrong", "What the paper prints wrong", "Exercises", "Symbols", "Terms"]
EVERY = pytest.mark.parametrize("chapter", chapters(), ids=lambda one: one.name)


@EVERY
def test_no_number_is_stale(chapter):
    numbers, _ = kept(read(chapter.figures))
    assert not stale(chapter.text, numbers)


@EVERY
def test_no_decimal_stands_in_prose_that_nobody_computed(chapter):
    assert not unmarked(chapter.text)
    assert MARK.search(chapter.text)


@pytest.mark.parametrize("script", CHEAP)
def test_what_is_kept_is_what_the_script_computes(script):
    (chapter,) = (one for one in chapters() if one.script == script)
    found = compute(script, quick=False)
    numbers, captions = kept(read(chapter.figures))
    assert numbers == pytest.approx(dict(found.numbers), rel=1e-6, abs=1e-12)
    assert captions == {name: list(frames) for name, frames in found.frames.items()}


@EVERY
def test_every_formula_is_typeset_whole(chapter):
    figures = read(chapter.figures)
    found, _ = body(chapter.text, Around(files=figures, captions=kept(figures)[1]))
    formulas = re.findall(r"<math.*?</math>", found, re.DOTALL)
    for formula in formulas:
        text = re.sub(r"<[^>]+>", "", formula)
        assert not re.search(r"[\\{}$]|&(?!#|lt;|gt;|amp;)", text), text
    prose = re.sub(r"<(pre|code|math|figure).*?</\1>", "", found, flags=re.DOTALL)
    assert formulas and "$" not in prose


@EVERY
def test_what_is_named_is_there(chapter):
    for reference in chapter.code:
        locate(reference)
    for found in ROW.finditer(chapter.text):
        assert row_of(found["tag"]) and slug(found["tag"]) == found["at"], found[0]
        assert f"### {found['tag']}\n" in (
            CHAPTERS.parents[2] / "core" / "papers" / f"{found['file']}.md"
        ).read_text("utf-8")
    for target in re.findall(r"\]\((?!http)([^)#\s]+)", chapter.text):
        assert (CHAPTERS / target).exists(), target


@EVERY
def test_pictures_are_shown_and_shown_pictures_are_there(chapter):
    shown = re.findall(r"!\[[^\]]+\]\(figures/([^)]+)\)", chapter.text)
    files = set(read(chapter.figures)) - {NUMBERS}
    assert set(shown) == {f"{chapter.name}/{name}" for name in files}


@EVERY
def test_a_chapter_has_its_parts(chapter):
    titles = re.findall(r"^## (.+)$", chapter.text, re.MULTILINE)
    assert titles[0] == "Why" and titles[-len(LAST) :] == LAST
    assert chapter.lead and symbols(chapter) and terms(chapter)
    assert 3 <= len(exercises(chapter)) <= 6


@EVERY
def test_exercises_are_functions_with_tests_in_the_ledger(chapter):
    listed = tomllib.loads(chapter.path.with_suffix(".toml").read_text("utf-8"))["exercise"]
    known = {reference for row in rows() if row.tests for reference in row.code}
    known |= {function for one in listed if "tests" in one for function in one["functions"]}
    for exercise in exercises(chapter):
        assert exercise.hint and exercise.text and exercise.functions
        for function in exercise.functions:
            locate(function)
            assert function in known, f"{function}: no row of the ledger names it"


def test_chapters_are_in_order():
    found = chapters()
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    keys = [exercise.key for one in found for exercise in exercises(one)]
    assert len(keys) == len(set(keys))


def test_what_is_collected_is_in_step():
    every = chapters()
    written = {name: (CHAPTERS / name).read_text("utf-8") for name in INDEXES}
    assert written["README.md"] == contents(written["README.md"], every)
    assert written["glossary.md"] == glossary(every)
    assert written["symbols.md"] == symbol_index(every)


def test_pictures_are_few_and_of_chapters():
    folders = {one.figures for one in chapters()}
    found = [path for path in (CHAPTERS / "figures").rglob("*") if path.is_file()]
    assert {path.parent for path in found} == folders
    assert sum(path.stat().st_size for path in found) <= MOST
