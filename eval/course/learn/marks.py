"""A class's marks: the answers of every student's folder, checked alike.

A student's folder has one `exercise.py` for each chapter, itself or one folder down. Which chapter
a file is of, its functions say. A row of the table is a student: how many exercises are right, how
many of these are the package's own code, which students can read, and the status of each.
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.text import read_text
from latentgeo.eval.course.learn.bench import Bench, Checked, as_here
from latentgeo.eval.course.learn.exercises import Exercise, chapter_names, of_chapter

FILE = "exercise.py"


@dataclass(frozen=True)
class Student:
    """What came of one student's answers."""

    name: str  # of the folder
    found: tuple[Checked, ...]
    copied: tuple[str, ...]  # exercises whose functions are the package's own


def files_of(folder: Path) -> list[Path]:
    """Return the answers' files of a student's folder, or a chapter's."""
    return sorted([*folder.glob(FILE), *folder.glob(f"*/{FILE}")])


def exercises_in(path: Path) -> tuple[Exercise, ...]:
    """Return the exercises of the chapter whose functions a file has most of.

    Raises ValueError for a file with none of any, or that is no Python.
    """
    try:
        tree = ast.parse(read_text(path))
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno}: {error.msg}") from None
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    counts = {
        chapter: len(names & {name for one in of_chapter(chapter) for name in one.names})
        for chapter in chapter_names()
    }
    best = max(counts, key=lambda chapter: counts[chapter])
    if not counts[best]:
        raise ValueError(f"{path}: got no function of an exercise, wanted those of a chapter")
    return of_chapter(best)


def marks(folder: Path, bench: Bench, tell: Callable[[Student], None]) -> list[Student]:
    """Return what came of the answers of every folder in a folder, told one by one."""
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        if place.name.startswith("."):
            continue
        found.append(_student(place, bench))
        tell(found[-1])
    return found


def _student(place: Path, bench: Bench) -> Student:
    checked: list[Checked] = []
    copied: list[str] = []
    for path in files_of(place):
        try:
            own = exercises_in(path)
        except ValueError:
            continue  # an answer that is no Python marks nothing; the others of its student count
        tree = ast.parse(read_text(path))
        checked += [bench.check(one, path, like=False) for one in own]
        copied += [one.key for one in own if as_here(tree, one)]
    return Student(place.name, tuple(checked), tuple(copied))


def text_student(student: Student) -> str:
    """Return a student's marks in a line."""
    right = sum(one.status == "right" for one in student.found)
    return f"{student.name:<24} {right} of {len(student.found)} right"


def table(students: Sequence[Student]) -> str:
    """Return the marks as CSV."""
    seen = {one.exercise.key for student in students for one in student.found}
    keys = [one.key for name in chapter_names() for one in of_chapter(name) if one.key in seen]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["student", "right", "as in the package", *keys])
    for student in students:
        status = {one.exercise.key: one.status for one in student.found}
        right = [key for key in keys if status.get(key) == "right"]
        own = len(set(right) & set(student.copied))
        rows.writerow([student.name, len(right), own, *(status.get(key, "") for key in keys)])
    return text.getvalue()


def lacking(students: Iterable[Student]) -> tuple[str, ...]:
    """Return the walls of the fence that could not be put up."""
    walls = (wall for each in students for one in each.found for wall in one.lacking)
    return tuple(dict.fromkeys(walls))
