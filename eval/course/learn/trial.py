"""One exercise, tried: the tests behind its rows, run against what sits in our functions' places.

This is the work of a child of `process.py`, behind the fence. What becomes of a test is told as
soon as it is known, so that a loop without an end leaves what came before it.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from latentgeo.eval.course.learn.exercises import HERE

Tell = Callable[[dict[str, object]], None]
LINE = 200  # characters of a failure's message that are told


class Telling:
    """A pytest plugin that tells what becomes of each test, by its name without parameters."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def pytest_runtest_logreport(self, report: object) -> None:
        """Tell a test's outcome: of its call, or of what failed or skipped it before or behind."""
        when, status = getattr(report, "when", ""), str(getattr(report, "outcome", ""))
        test = str(getattr(report, "nodeid", "")).split("[")[0]
        if when == "call" or status != "passed":
            said = _message(report) if status == "failed" else ""
            self.tell({"test": test, "status": status, "said": said})
        if when == "teardown":
            error = dict(getattr(report, "user_properties", ())).get("error")
            self.tell({"test": test, "error": error})


def run_tests(tests: Sequence[str], select: str, folder: Path, *plugins: object) -> int:
    """Run tests, or those of them that are selected, in this process; return pytest's status.

    Random numbers are drawn from a seed.
    """
    import pytest

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.chdir(HERE)
    options = [
        *("-q", "-s", "--noconftest", "--assert=plain", "--import-mode=importlib"),
        *("-c", os.devnull, f"--rootdir={HERE}", f"--confcutdir={HERE}"),
        f"--basetemp={folder}/pytest",
        *(
            "-p",
            "latentgeo.eval.audit.errors",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:unraisableexception",
            "-p",
            "no:faulthandler",
        ),
        *("-k", select),
    ]
    return int(pytest.main([*options, *tests], plugins=list(plugins)))


def _message(report: object) -> str:
    """Return the last line of what a failed test raised."""
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    text = str(getattr(crash, "message", getattr(report, "longrepr", ""))).strip()
    return " ".join(text.split())[:LINE]
