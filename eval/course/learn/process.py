"""The process that tries answers: it loads what the tests load, and forks for every exercise.

Started by `bench.py` with Triton's interpreter on. A line of its input is a task, a line of its
output what came of it. The child is behind the fence (`fence.py`) before the answer is run; it
tells what it finds through a pipe, until it ends or is ended.

Time       a child has `seconds` of the processor, and twenty times as long on the clock
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import select
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.audit.mutation import FOLDERS, importers
from latentgeo.eval.audit.references import split_reference
from latentgeo.eval.course.learn import likeness
from latentgeo.eval.course.learn.exercises import HERE, exercise_of, of_chapter
from latentgeo.eval.course.learn.fence import end_group, fenced
from latentgeo.eval.course.learn.seats import ANSWERS, answers_of, seated
from latentgeo.eval.course.learn.trial import Telling, run_tests

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev")


def serve() -> None:
    """Answer every task of standard input on standard output, until there is no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    known: set[str] = set()
    for line in sys.stdin:
        task = json.loads(line)
        _preload(set(task["tests"]) - known)
        known |= set(task["tests"])
        answers.write(json.dumps(_tried(task)) + "\n")
        answers.flush()


def _preload(tests: Iterable[str]) -> None:
    """Import what files of tests import, and learn who imports whom."""
    for file in sorted({split_reference(f"{test}::")[0] for test in tests}):
        for node in ast.walk(ast.parse(read_text(HERE / file))):
            if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("tests"):
                with contextlib.suppress(ImportError):  # parity tests, which are skipped then
                    importlib.import_module(str(node.module))
    importlib.import_module("pytest")
    importers("latentgeo.core.schedule")


def _tried(task: dict[str, Any]) -> dict[str, Any]:
    """Return what a child told of a task, and how it ended: done, late or dead."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="latentgeo-learn-") as folder:
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(task, Path(folder), writing)
        os.close(writing)
        told, in_time = _heard(reading, 20.0 * task["seconds"])
        end_group(child)
        _, status = os.waitpid(child, 0)
    late = not in_time or os.waitstatus_to_exitcode(status) == -24  # SIGXCPU
    whole = bool(told) and "end" in told[-1]
    return {"told": told, "ended": "done" if whole else "late" if late else "dead"}


def _heard(reading: int, seconds: float) -> tuple[list[dict[str, Any]], bool]:
    """Return the lines that came through a pipe, and whether its other end closed in time."""
    until, text = time.monotonic() + seconds, b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            piece = os.read(reading, 1 << 16)
            if not piece:
                break
            text += piece
    os.close(reading)
    lines = text.decode(errors="replace").splitlines()
    return list(_objects(lines)), left > 0


def _objects(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):  # the last may be cut off
            yield json.loads(line)


def _child(task: dict[str, Any], folder: Path, writing: int) -> None:
    """Do a task behind the fence; never return."""
    try:
        os.setsid()
        sys.stdin = io.StringIO()
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:

            def tell(found: dict[str, Any]) -> None:
                pipe.write(json.dumps(found) + "\n")
                pipe.flush()

            limits = task["seconds"], task["memory"]
            tell({"lacking": fenced(folder, _readable(), (HERE,), *limits)})
            _work(task, folder, tell)
            tell({"end": True})
    finally:
        os._exit(0)


def _readable() -> list[Path]:
    """Return what Python and this package need to read."""
    ours = [ROOT / name for name in FOLDERS] + [HERE / "tests"]
    paths = [Path(name).resolve() for name in sys.path if name]
    paths = [path for path in paths if path not in (ROOT, HERE)]
    return [*ours, *paths, Path(sys.prefix), Path(sys.base_prefix), *map(Path, SYSTEM)]


def _work(task: dict[str, Any], folder: Path, tell: Any) -> None:
    exercise = exercise_of(task["exercise"])
    seats = seated(exercise.functions)
    others = [
        one
        for other in of_chapter(exercise.chapter)
        if other.key != exercise.key
        for one in other.functions
    ]
    try:
        answers = answers_of(task["text"], task["path"], seats, others)
    except BaseException as error:
        tell({"broken": f"{type(error).__name__}: {error}"})
        return
    if missing := set(exercise.functions) - set(answers):
        tell({"broken": f"no function {', '.join(sorted(missing))}"})
        return
    if task["likeness"]:
        tree, names = ast.parse(task["text"]), vars(sys.modules[ANSWERS])
        states = {
            one: likeness.likeness(one, answer, tree, names) for one, answer in answers.items()
        }
        for one, state in states.items():
            seats.take(one, likeness.watched(seats.ours[one], state, one))
        run_tests(task["tests"], exercise.select, folder, likeness.Enough(list(states.values())))
        for one, state in states.items():
            found = {"kind": state.kind(), "error": state.error, "lines": state.lines()}
            tell({"function": one, **found})
    else:
        for one, answer in answers.items():
            seats.take(one, answer)
        run_tests(task["tests"], exercise.select, folder, Telling(tell))


if __name__ == "__main__":
    serve()
