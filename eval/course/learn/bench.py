"""Where answers are checked: the process that tries them, and what its findings mean.

Importing this module imports no torch.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.ledger import Row
from latentgeo.eval.course.learn.allowed import parsed
from latentgeo.eval.course.learn.blank import blank, definition
from latentgeo.eval.course.learn.exercises import HERE, Exercise, of_chapter

ENDED = "its process ended: by itself, or by memory that it does not have"
NEEDED = "learn checks answers with pytest: python -m pip install 'latentgeo[course]'"


@dataclass(frozen=True)
class Equation:
    """What became of one row of the ledger."""

    tag: str
    right: bool
    error: float | None = None  # largest relative error of the comparisons that held
    failed: tuple[str, ...] = ()  # tests
    said: str = ""  # by the first of them


@dataclass(frozen=True)
class Checked:
    """What became of an exercise."""

    exercise: Exercise
    status: str  # right, wrong, late, open
    equations: tuple[Equation, ...] = ()
    why: str = ""  # where no test could say it
    error: float | None = None  # largest difference of the answer from ours, relative to ours
    kind: str = ""  # of the mistake that it looks like
    lines: tuple[int, ...] = ()  # in which one change would make it right
    lacking: tuple[str, ...] = field(default=(), compare=False)  # walls that could not be put up


class Bench:
    """A process that tries answers, one after another; a context that ends it.

    An exercise has so many seconds of the processor, and GiB of memory. Raises FileNotFoundError
    where there are no tests, RuntimeError where there is no pytest.
    """

    def __init__(self, seconds: int, memory: float, root: Path = HERE) -> None:
        if not (root / "tests").is_dir():
            raise FileNotFoundError(f"{root / 'tests'}: checking needs the tests, as in a checkout")
        if importlib.util.find_spec("pytest") is None:
            raise RuntimeError(NEEDED)
        self.limits = {"seconds": seconds, "memory": int(memory * 2**30)}
        settings = {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        settings |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "latentgeo.eval.course.learn.process"],
            cwd=root,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # it holds nothing: what it tries is thrown away
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()

    def check(self, exercise: Exercise, path: Path, like: bool = True) -> Checked:
        """Return what becomes of a student's file in an exercise.

        `like` asks what a wrong answer looks like.
        """
        try:
            text = read_text(path)
            tree = parsed(text, path.name)
        except ValueError as error:
            return Checked(exercise, "wrong", why=str(error))
        if untouched(tree, exercise):
            return Checked(exercise, "open")
        tests = sorted({test for row in exercise.rows for test in exercise.tests(row)})
        found = self._ask(exercise, path, text, tests, likeness=False)
        checked = judged(exercise, found)
        if like and checked.status in ("wrong", "late") and checked.why in ("", ENDED):
            failed = {one["test"] for one in found["told"] if one.get("status") == "failed"}
            likened = self._likened(checked, path, text, sorted(failed) or tests)
            return likened if likened.kind else self._likened(checked, path, text, tests)
        return checked

    def _likened(self, checked: Checked, path: Path, text: str, tests: list[str]) -> Checked:
        """Return the same with what the answer looks like in some tests."""
        found = self._ask(checked.exercise, path, text, tests, likeness=True)
        states = [one for one in found["told"] if "function" in one]
        kinds = dict.fromkeys(one["kind"] for one in states if one["kind"])
        error = max((one["error"] for one in states), default=None)
        lines = tuple(line for one in states for line in one["lines"])
        return replace(checked, error=error or None, kind=" and ".join(kinds), lines=lines)

    def _ask(
        self, exercise: Exercise, path: Path, text: str, tests: list[str], likeness: bool
    ) -> dict[str, Any]:
        task = {"exercise": exercise.key, "path": str(path), "text": text, "tests": tests}
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(task | self.limits | {"likeness": likeness}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError("the process that tries answers has ended by itself")
        found: dict[str, Any] = json.loads(line)
        return found


def untouched(tree: ast.Module, exercise: Exercise) -> bool:
    """Whether all functions of an exercise are as `blank` leaves them, or gone."""
    theirs, empty = bodies(tree), bodies(ast.parse(blank(of_chapter(exercise.chapter))))
    return all(theirs.get(name, empty[name]) == empty[name] for name in exercise.names)


def as_here(tree: ast.Module, exercise: Exercise) -> bool:
    """Whether all functions of an exercise are those of the package, but for the words."""
    theirs = bodies(tree)
    ours = bodies(ast.Module([definition(one) for one in exercise.functions], []))
    return all(theirs.get(name) == ours[name] for name in exercise.names)


def bodies(tree: ast.Module) -> dict[str, str]:
    """Return what the functions of a file compute, without docstrings and annotations."""
    return {
        node.name: "\n".join(ast.unparse(one) for one in node.body if not _is_text(one))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def judged(exercise: Exercise, found: dict[str, Any]) -> Checked:
    """Return what the findings of a process mean."""
    told, ended = found["told"], found["ended"]
    lacking = next((tuple(one["lacking"]) for one in told if "lacking" in one), ())
    broken = next((one["broken"] for one in told if "broken" in one), "")
    equations = tuple(_equation(exercise, row, told) for row in exercise.rows)
    right = ended == "done" and not broken and all(one.right for one in equations)
    status = "right" if right else "late" if ended == "late" else "wrong"
    why = broken or (ENDED if ended == "dead" else "")
    return Checked(exercise, status, equations, why, lacking=lacking)


def _equation(exercise: Exercise, row: Row, told: list[dict[str, Any]]) -> Equation:
    """Return what became of a row: right if each of its tests has passed, or was skipped."""
    tests = exercise.tests(row)
    of_row = [one for one in told if one.get("test") and _is_of(one["test"], tests)]
    bad = [one for one in of_row if one.get("status") == "failed"]
    passed = {one["test"] for one in of_row if one.get("status") == "passed"}
    seen = {one["test"] for one in of_row if "status" in one}
    missing = [test for test in tests if not any(_is_of(one, (test,)) for one in seen)]
    errors = [one["error"] for one in of_row if one.get("error") is not None]
    names = dict.fromkeys(one["test"].rpartition("::")[2] for one in bad)
    return Equation(
        row.tag,
        bool(passed) and not bad and not missing,
        max(errors, default=None),
        tuple(names),
        bad[0]["said"] if bad else "",
    )


def _is_of(test: str, tests: tuple[str, ...]) -> bool:
    return any(test == one or test.startswith(f"{one}::") for one in tests)
