"""`latentgeo learn`: the course's exercises, listed, written, checked and marked.

Importing this module imports no torch; answers are run in processes of their own.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.course.learn.bench import Bench
from latentgeo.eval.course.learn.blank import blank, solution
from latentgeo.eval.course.learn.exercises import CHAPTERS, Exercise, exercise_of, of_chapter
from latentgeo.eval.course.learn.marks import (
    FILE,
    exercises_in,
    files_of,
    marks,
    table,
    text_student,
)
from latentgeo.eval.course.learn.marks import lacking as walls_lacking
from latentgeo.eval.course.learn.report import keep, text_check, text_list, verdict
from latentgeo.eval.course.learn.settings import Learn

TEXT = "chapter.md"


def learn(cmd: Learn) -> str | Path | list[Path] | None:
    """Do what is asked for; return what is to be printed."""
    if cmd.what is None:
        return text_list(cmd.course)
    if cmd.hint:
        return exercise_of(cmd.what).hint
    if cmd.solution:
        return solution(exercise_of(cmd.what))
    if cmd.check:
        return check(cmd, Path(cmd.what))
    if cmd.check_all:
        return check_all(cmd, Path(cmd.what))
    if cmd.out is not None:
        return write(of_chapter(cmd.what), cmd.out)
    return "\n".join(_entry(one) for one in of_chapter(cmd.what))


def _entry(exercise: Exercise) -> str:
    tags = ", ".join(row.tag for row in exercise.rows)
    return f"{exercise.key:<20} {exercise.title}\n{'':<20} {', '.join(exercise.names)} ({tags})"


def write(exercises: tuple[Exercise, ...], out: Path) -> list[Path]:
    """Write a chapter's text, if it has one, and its blanks.

    Raises ValueError where there are answers already.
    """
    if (out / FILE).exists():
        raise ValueError(f"out: {out / FILE} is there already, and may have answers")
    written = [atomic_write(out / FILE, blank(exercises))]
    for path in CHAPTERS.glob(f"*-{exercises[0].chapter}.md"):
        written.insert(0, atomic_write(out / TEXT, chapter_text(read_text(path))))
    return written


def chapter_text(text: str) -> str:
    """Return a chapter's text for another folder: no marks of numbers, links to what is here."""
    plain = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)

    def link(found: re.Match[str]) -> str:
        path, at, place = found[1].partition("#")
        target = (CHAPTERS / path).resolve()
        return f"]({target.as_uri()}{at}{place})" if target.is_relative_to(ROOT) else found[0]

    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", link, plain)


def check(cmd: Learn, place: Path) -> str:
    """Check the answers in a folder or file, print each verdict, and return the sum.

    RuntimeError unless all that was begun is right.
    """
    paths = [place] if place.is_file() else files_of(place)
    if not paths:
        raise FileNotFoundError(f"what: {place} has no {FILE}")
    found = []
    with Bench(math.ceil(cmd.seconds), cmd.memory) as bench:
        for path in paths:
            wanted = _chosen(exercises_in(path), cmd.only)
            for exercise in wanted:
                found.append(bench.check(exercise, path))
                print(text_check(found[-1]), flush=True)
            keep(path.parent, [one for one in found if one.exercise in wanted])
    if any(one.status in ("wrong", "late") for one in found):
        raise RuntimeError(verdict(found))
    return verdict(found)


def _chosen(exercises: tuple[Exercise, ...], only: tuple[str, ...]) -> tuple[Exercise, ...]:
    """Return those that are asked for; ValueError for one that the file does not have."""
    keys = {one.key for one in exercises}
    if unknown := [key for key in only if key not in keys]:
        raise ValueError(f"only: got {unknown[0]!r}, wanted some of {', '.join(sorted(keys))}")
    return tuple(one for one in exercises if not only or one.key in only)


def check_all(cmd: Learn, folder: Path) -> str | Path:
    """Check the answers of a class, print a line for each student, and write the marks."""
    if not folder.is_dir():
        raise FileNotFoundError(f"what: {folder} is no folder of students' folders")
    with Bench(math.ceil(cmd.seconds), cmd.memory) as bench:
        students = marks(folder, bench, lambda student: print(text_student(student), flush=True))
    for wall in walls_lacking(students):
        print(f"the fence lacks {wall}")
    return table(students) if cmd.csv is None else atomic_write(cmd.csv, table(students))
