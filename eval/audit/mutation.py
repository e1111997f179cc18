"""The audit's mutants, each in a process of its own, under the tests of its rows.

One parent imports whatever the tests load and forks for every mutant. The child forgets the changed
module and all that import it, puts the changed source in its place by an import hook, so that
constants made from it are changed too, and runs the tests until one fails. The checkout is read and
never written. What a test starts as another process does not see the change.

Time      a child is given ten times what its tests took without a change and half a minute of the
          processor, and twenty times that on the clock; one that takes longer, as in a loop without
          an end, is killed and counts as noticed
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import os
import signal
import sys
import tempfile
import time
import tomllib
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.audit.mutants import Mutant, mutated, unchanged

EQUIVALENT = ROOT / "tests" / "eval" / "equivalent_mutants.toml"
FOLDERS = ("core", "kernels", "models", "infer", "train", "eval")
TESTS = ("tests", "test_", "conftest")  # how the modules of tests are named
INTERRUPTED, NO_TESTS = 2, 5  # pytest's exit statuses


@dataclass(frozen=True)
class Verdict:
    """What came of a mutant."""

    mutant: Mutant
    status: str  # killed, timeout, survived or equivalent
    seconds: float = 0.0
    reason: str = ""  # why it is equivalent

    def __str__(self) -> str:
        """As `survived  core/ddim.py:29 sigma: 1 - bar -> 1 + bar`."""
        return f"{self.status:<10} {self.mutant}" + (f"  ({self.reason})" if self.reason else "")


class Substitute(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where the one module comes from, nothing for all others."""
        if fullname != self.name:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(self.path))

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the changed source as the module."""
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


class Clock:
    """A pytest plugin: how long each test took, by name without its parameters."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: object) -> None:
        """Add one phase of a test."""
        name = str(getattr(report, "nodeid", "")).split("[")[0]
        taken = float(getattr(report, "duration", 0.0))
        self.seconds[name] = self.seconds.get(name, 0.0) + taken


def equivalents(path: Path = EQUIVALENT) -> dict[str, str]:
    """Return the reason for every listed mutant that can change no result, by `Mutant.key`."""
    found = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {entry["mutant"]: entry["reason"] for entry in found.get("equivalent", [])}


def judge(
    drawn: Sequence[Mutant], tell: Callable[[Verdict], None] = lambda verdict: None
) -> list[Verdict]:
    """Run the tests of every mutant and return the verdicts; `tell` hears each at once.

    Raises RuntimeError if the tests fail without any change.
    """
    known = equivalents()
    verdicts = []
    seconds = _unchanged({test for mutant in drawn for test in mutant.tests})
    for mutant in drawn:
        if mutant.key in known:
            verdict = Verdict(mutant, "equivalent", reason=known[mutant.key])
        else:
            verdict = _run(mutant, seconds)
        verdicts.append(verdict)
        tell(verdict)
    gc.unfreeze()
    return verdicts


def _unchanged(tests: Iterable[str]) -> dict[str, float]:
    """Load what the tests load and return how long each takes."""
    wanted = sorted(tests)
    with tempfile.TemporaryDirectory() as folder:
        modules, times = Path(folder) / "modules", Path(folder) / "times"

        def scout() -> int:
            clock = Clock()
            status = _pytest(wanted, folder, clock)
            modules.write_text("\n".join(sys.modules), encoding="utf-8")
            times.write_text(
                "\n".join(f"{taken} {test}" for test, taken in clock.seconds.items()),
                encoding="utf-8",
            )
            return status

        status = _forked(scout, limit=3600)
        if status != 0:
            raise RuntimeError(f"the tests fail without a change: pytest's status is {status}")
        for name in modules.read_text(encoding="utf-8").splitlines():
            _preload(name)
        gc.collect()
        gc.freeze()  # or every child would go through all of it again and again
        lines = times.read_text(encoding="utf-8").splitlines()
    return {test: float(taken) for taken, test in (line.split(" ", 1) for line in lines)}


def _preload(name: str) -> None:
    """Import a module that is no test, if it can be imported by its name."""
    if name in sys.modules or name.startswith(TESTS) or name == "__main__":
        return
    try:
        importlib.import_module(name)
    except Exception:  # a module under an assumed name, of no use to a child either
        return


def _run(mutant: Mutant, seconds: dict[str, float]) -> Verdict:
    """Run the tests of one mutant, the quick ones first, in a child of its own."""
    tests = sorted(mutant.tests, key=lambda test: seconds.get(test, 0.0))
    limit = 30 + 10 * sum(seconds.get(test, 0.0) for test in tests)
    start = time.monotonic()
    status = _tried(mutant, mutated(mutant), tests, limit)
    if status == INTERRUPTED:  # the change, or the way it is put in place?
        control = _tried(mutant, unchanged(mutant), tests, limit)
        if control == INTERRUPTED:
            raise RuntimeError(f"{mutant.file} cannot be loaded a second time")
    if status == NO_TESTS:
        raise RuntimeError(f"{mutant}: none of its tests exists: {', '.join(tests)}")
    words = {0: "survived", -signal.SIGPROF: "timeout", -signal.SIGALRM: "timeout"}
    word = words.get(status, "killed")
    return Verdict(mutant, word, time.monotonic() - start)


def _tried(mutant: Mutant, tree: ast.Module, tests: Sequence[str], limit: float) -> int:
    """Return pytest's exit status with a tree in the place of the mutant's file."""
    module = _module(mutant.file)

    def child() -> int:
        sys.meta_path.insert(0, Substitute(module, ROOT / mutant.file, tree))
        for name in importers(module) | {name for name in sys.modules if name.startswith(TESTS)}:
            forget(name)
        return _pytest(tests, folder)

    with tempfile.TemporaryDirectory() as folder:
        return _forked(child, limit)


def forget(name: str) -> None:
    """Take a module out of those loaded, and out of its package, where `from … import` looks."""
    sys.modules.pop(name, None)
    package, _, own = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(own, None)


def _module(file: str) -> str:
    return "latentgeo." + file.removesuffix(".py").replace("/", ".")


@cache
def importers(module: str) -> set[str]:
    """Return a module of ours and those that import it, directly or through others."""
    found = {module}
    while True:
        more = {name for name, needed in _imports().items() if needed & found} - found
        if not more:
            return found
        found |= more


@cache
def _imports() -> dict[str, set[str]]:
    """Return what every module of ours imports of ours."""
    found = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
            names = {f"{node.module}" for node in froms}
            names |= {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
            found[_module(path.relative_to(ROOT).as_posix())] = names
    return found


def _pytest(tests: Sequence[str], folder: str, *plugins: object) -> int:
    """Run tests in this process until one fails, and write nowhere but to the folder."""
    import pytest

    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of the environment, which take time
    os.chdir(ROOT)
    options = [
        "-x",
        "-q",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:unraisableexception",  # it collects garbage five times
        f"--basetemp={folder}/pytest",
    ]
    return int(pytest.main([*options, *tests], plugins=list(plugins)))


def _forked(work: Callable[[], int], limit: float) -> int:
    """Return the exit status of a silent child that does `work`, or minus the signal that ended it.

    A timer ends it after `limit` seconds of the processor, or twenty times as many on the clock,
    even within a call that does not return.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            for sign in (signal.SIGPROF, signal.SIGALRM):
                signal.signal(sign, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, limit)
            signal.setitimer(signal.ITIMER_REAL, 20 * limit)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            status = work()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    _end_group(child)
    return os.waitstatus_to_exitcode(ended)


def _end_group(leader: int) -> None:
    """End what a child's tests started and left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
