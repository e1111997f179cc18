"""The exercises of the course's chapters: which functions, and which tests judge an answer.

A chapter's exercises are in `chapters/NN-name.toml`, a table `[[exercise]]` for each:

key, title   its name, and what it is about
functions    what a student writes, as `core/ddim.py:step`
hint         what to think of
given        names of the same file, private ones too, that a student may use
rows         rows of the ledger, where it does not name the function itself: a kernel's are those of
             its operator
tests        tests that judge it, or files of them, in the place of those of the rows
select       which of these, as pytest's -k takes it
without      files of tests that judge more than it, or read what a student does not have
triton       whether it is a Triton kernel, checked in the interpreter

Importing this module imports no torch.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.ledger import ROOT, Row, row_of, rows
from latentgeo.eval.audit.references import behind, split_reference

CHAPTERS = ROOT / "eval" / "course" / "chapters"
HERE = ROOT if (ROOT / "tests").is_dir() else ROOT / "eval" / "course" / "given"  # tests are below


@dataclass(frozen=True)
class Exercise:
    """Functions to be written, and what is known of them."""

    chapter: str  # going-back
    key: str  # ddim-step
    title: str
    functions: tuple[str, ...]  # core/ddim.py:step
    hint: str
    given: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # of rows; empty: those of the functions
    named: tuple[str, ...] = ()  # tests; empty: those of the rows
    select: str = ""
    without: tuple[str, ...] = ()  # files of tests
    triton: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The functions' names."""
        return tuple(split_reference(one)[1] for one in self.functions)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the ledger that it is about."""
        if self.tags:
            return tuple(map(row_of, self.tags))
        return tuple(row for row in rows() if set(row.code) & set(self.functions))

    def tests(self, row: Row, root: Path = HERE) -> tuple[str, ...]:
        """Return the tests that judge a row of it: those that lie beside the functions' own.

        What the ledger names further up, a whole command or a training, takes minutes and says less
        of one function.
        """
        if self.named:
            return self.named
        folder = f"tests/{self.functions[0].partition('/')[0]}/"
        near = tuple(test for test in row.tests if test.startswith(folder))
        found = sorted(behind(replace(row, tests=near), root))
        return tuple(test for test in found if split_reference(test)[0] not in self.without)


@cache
def exercises(folder: Path = CHAPTERS) -> tuple[Exercise, ...]:
    """Return all exercises, in the order of the chapters."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        chapter = path.stem.partition("-")[2]
        for entry in tomllib.loads(read_text(path))["exercise"]:
            several = {name: tuple(entry.get(name, ())) for name in ("functions", "given")}
            found.append(
                Exercise(
                    chapter,
                    entry["key"],
                    entry["title"],
                    several["functions"],
                    entry["hint"],
                    several["given"],
                    tuple(entry.get("rows", ())),
                    tuple(entry.get("tests", ())),
                    entry.get("select", ""),
                    tuple(entry.get("without", ())),
                    entry.get("triton", False),
                )
            )
    return tuple(found)


def chapter_names() -> tuple[str, ...]:
    """Return the chapters that have exercises, in their order."""
    return tuple(dict.fromkeys(one.chapter for one in exercises()))


def of_chapter(name: str) -> tuple[Exercise, ...]:
    """Return the exercises of a chapter by its name or number; ValueError names those there are."""
    names = chapter_names()
    wanted = names[int(name) - 1] if name.isdigit() and 0 < int(name) <= len(names) else name
    found = tuple(one for one in exercises() if one.chapter == wanted)
    if not found:
        raise ValueError(_unknown("chapter", name, names))
    return found


def exercise_of(key: str) -> Exercise:
    """Return an exercise by its key; ValueError names the nearest ones."""
    found = {one.key: one for one in exercises()}
    if key not in found:
        raise ValueError(_unknown("exercise", key, tuple(found)))
    return found[key]


def _unknown(kind: str, got: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(got, known, 3) or known
    return f"what: got {got!r}, wanted {kind} {', '.join(near)}"
