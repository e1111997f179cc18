"""The report's rows as they come from the process that compiles (`__main__.py`)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO

from latentgeo.kernels.aot.rows import Failure, Request, Row, row_of

VARIABLE = "TRITON_INTERPRET"  # with it, Triton has no functions that can be compiled


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is being compiled, and the outcomes as they come."""

    triton: str  # its version
    kernels: int
    outcomes: Iterator[Row | Failure]


def start(request: Request) -> Report:
    """Compile in a process of its own, which ends when all outcomes are taken.

    Raises `ValueError` for a request that no kernel answers, and `RuntimeError` where triton is not
    installed and when the process fails.
    """
    if importlib.util.find_spec("triton") is None:
        raise RuntimeError("the kernels are compiled by triton, which is not installed")
    lines = _lines(request)
    found = json.loads(next(lines))
    if not found["kernels"]:
        raise ValueError(f"there is no kernel for {', '.join(request.kernels)} in this report")
    return Report(triton=found["triton"], kernels=found["kernels"], outcomes=map(_outcome, lines))


def _lines(request: Request) -> Iterator[str]:
    """Yield the lines that the process prints."""
    command = [sys.executable, "-m", "latentgeo.kernels.aot", json.dumps(asdict(request))]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        assert child.stdout is not None
        try:
            yield from child.stdout
        except BaseException:  # nobody wants the rest
            child.terminate()
            raise
        if child.wait():
            raise RuntimeError(f"compiling the kernels failed: {_last_line(errors)}")


def _last_line(errors: IO[str]) -> str:
    errors.seek(0)
    lines = errors.read().split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def _outcome(line: str) -> Row | Failure:
    entry = json.loads(line)
    return Failure(**entry) if "message" in entry else row_of(entry)
