"""What `learn` prints: the course with what is solved, and what came of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.eval.course.learn.bench import Checked, Equation
from latentgeo.eval.course.learn.exercises import Exercise, chapter_names, exercises

NAMED = 2  # tests that have failed, by name
SOLVED = "solved.json"  # in a chapter's folder: the status of each exercise when it was checked


def text_list(course: Path) -> str:
    """Return chapters and exercises, each with what is known of the answers in a folder."""
    known = {chapter: statuses(course / chapter) for chapter in chapter_names()}
    lines = []
    for number, chapter in enumerate(chapter_names(), 1):
        own = [one for one in exercises() if one.chapter == chapter]
        right = sum(known[chapter].get(one.key) == "right" for one in own)
        lines += ["", f"{number:>2}  {chapter:<44} {right} of {len(own)} solved"]
        lines += [f"    {_line(one, known[chapter])}".rstrip() for one in own]
    done = sum(one == "right" for each in known.values() for one in each.values())
    lines += ["", f"{done} of {len(exercises())} solved in {course}"]
    return "\n".join(lines[1:])


def _line(exercise: Exercise, known: Mapping[str, str]) -> str:
    return f"{exercise.key:<20} {exercise.title:<44} {known.get(exercise.key, '')}"


def statuses(folder: Path) -> dict[str, str]:
    """Return what is known of the answers in a chapter's folder, by exercise."""
    path = folder / SOLVED
    try:
        found = json.loads(read_text(path)) if path.is_file() else {}
    except ValueError:
        return {}
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def keep(folder: Path, found: Iterable[Checked]) -> None:
    """Keep the statuses of a chapter's answers in its folder."""
    known = statuses(folder) | {one.exercise.key: one.status for one in found}
    atomic_write(folder / SOLVED, json.dumps(known, indent=1) + "\n")


def text_check(found: Checked) -> str:
    """Return what came of an exercise: the verdict, its equations, and what it looks like."""
    words = {"right": "right", "wrong": "wrong", "late": "out of time", "open": "not begun"}
    lines = [f"{found.exercise.key:<20} {words[found.status]}"]
    lines += [f"    {found.why}"] if found.why else []
    lines += [f"    {_equation(one)}" for one in found.equations if not found.why]
    if found.error is not None:
        lines.append(f"    largest difference from the package {found.error:.1e} of its values")
    if found.kind:
        where = f", in line {' or '.join(map(str, found.lines[:3]))}" if found.lines else ""
        lines.append(f"    it looks like {found.kind}{where}")
    elif found.status in ("wrong", "late") and not found.why:
        lines.append("    it is none of the common mistakes")
    return "\n".join(lines)


def _equation(found: Equation) -> str:
    if found.right:
        error = "" if found.error is None else f"error {found.error:.1e}"
        return f"{found.tag:<16} right   {error}".rstrip()
    named = ", ".join(found.failed[:NAMED]) or "its tests did not all end"
    more = f" and {len(found.failed) - NAMED} more" if len(found.failed) > NAMED else ""
    return f"{found.tag:<16} wrong   {named}{more}{f': {found.said}' if found.said else ''}"


def verdict(found: Iterable[Checked]) -> str:
    """Return how many exercises are solved, and which walls could not be put up."""
    each = list(found)
    right = sum(one.status == "right" for one in each)
    lacking = dict.fromkeys(wall for one in each for wall in one.lacking)
    lines = [f"{right} of {len(each)} solved"]
    return "\n".join([*lines, *(f"the fence lacks {wall}" for wall in lacking)])
