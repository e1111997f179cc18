"""The process that runs the cases: `python -m latentgeo.kernels.bench.worker`.

It reads a job from stdin, one JSON object (`Job`), and writes a JSON object per line to stdout:

{"machine": …}   once, the `Roofline` of what it runs on
{"at": [c, k]}   contender k of case c is about to run
{"row": …}       a `Row`

Whatever else is printed goes to stderr. It ends with status 0, or with `LOST` where a kernel's
error has cost it the GPU: what has no row yet can then be given to another process.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from latentgeo.kernels.bench.cases import CASES, Asked, Case
from latentgeo.kernels.bench.contest import Contest, DeviceLost
from latentgeo.kernels.bench.measure import Clock, CudaClock, HostClock
from latentgeo.kernels.bench.peers import contenders
from latentgeo.kernels.bench.roofline import Roofline, measure_roofline
from latentgeo.kernels.bench.rows import Row
from latentgeo.kernels.bench.trace import trace

LOST: Final = 75  # the exit status
HOST_SIDE, HOST_COPY = 256, 1 << 20  # a CPU's roofline is for tests


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run."""

    todo: Sequence[tuple[str, str]]  # cases with contenders, by name; a case's in one stretch
    seconds: float
    asked: Sequence[Mapping[str, Any]] = ()  # fields of `Asked`: cases beside the list's
    graphs: bool = True
    profile: str | None = None  # folder for traces, which are then written instead of times
    device: str = "cuda"  # or cpu


def main() -> int:
    """Run the job on stdin and return the exit status."""
    gc.freeze()  # collections between cases need not look at what was imported
    job = Job(**json.load(sys.stdin))
    out = _own_stdout()

    def say(**message: object) -> None:
        print(json.dumps(message), file=out, flush=True)

    clock: Clock = CudaClock() if job.device == "cuda" else HostClock()
    if job.device == "cuda":  # a kernel that cannot run is a failure, not the reference's time
        os.environ.setdefault("LATENTGEO_KERNELS", "triton")
    roofline = _roofline(clock)
    say(machine=asdict(roofline))
    contest = Contest(
        clock=clock,
        roofline=roofline,
        seconds=job.seconds,
        graphs=job.graphs,
        announce=lambda case, name: say(at=[case, name]),
    )
    try:
        for case, names in _by_case(job):
            for row in _rows(contest, case, names, job.profile):
                say(row=asdict(row))
    except DeviceLost as error:
        print(error, file=sys.stderr)
        return LOST
    return 0


def _rows(contest: Contest, case: Case, names: list[str], folder: str | None) -> Iterator[Row]:
    known = contenders(case)
    entered = {name: known[name] for name in names}
    if folder is None:
        return contest.rows(case, entered)
    return trace(contest, case, entered, Path(folder))


def _by_case(job: Job) -> Iterator[tuple[Case, list[str]]]:
    asked = (Asked(**{**one, "shape": tuple(one["shape"])}).case for one in job.asked)
    known, names = {case.name: case for case in (*CASES, *asked)}, dict[str, list[str]]()
    for case, name in job.todo:
        names.setdefault(case, []).append(name)
    yield from ((known[case], entered) for case, entered in names.items())


def _roofline(clock: Clock) -> Roofline:
    if clock.device.type == "cuda":
        return measure_roofline(clock)
    return measure_roofline(clock, HOST_SIDE, HOST_COPY)


def _own_stdout() -> TextIO:
    """Return stdout, and let what anybody else prints there go to stderr."""
    mine = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return mine


if __name__ == "__main__":
    sys.exit(main())
