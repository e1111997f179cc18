"""What is to be compiled for a request, and the compilations, one by one or several at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from latentgeo.kernels.aot.calls import calls
from latentgeo.kernels.aot.limits import ARCHS
from latentgeo.kernels.aot.measure import measure
from latentgeo.kernels.aot.rows import Failure, Request, Row, key
from latentgeo.kernels.aot.specialize import Specialization, specializations

Job = tuple[str, Specialization]


def jobs(request: Request) -> list[Job]:
    """Return the specializations that are asked for, with the architecture of each."""
    families = {word.split(".")[0] for word in request.kernels}
    every = calls(request.dtype, request.head_dims, request.masks)
    wanted = [call for call in every if call.family in families]
    return [
        (arch, entry)
        for arch in request.arch
        for entry in specializations(ARCHS[arch], wanted)
        if request.wants(entry.name)
    ]


def outcome(job: Job, folder: Path | None = None) -> Row | Failure:
    """Return what came of one compilation, also dumped into a folder; a failure is an outcome."""
    arch, entry = job
    try:
        return measure(arch, entry, folder)
    except Exception as error:  # the compiler's own, of many types
        message = " ".join(f"{type(error).__name__}: {error}".split())
        of = key(arch, entry.dtype, entry.name, entry.head_dim, entry.case, entry.variant)
        return Failure(key=of, message=message[:300])


def outcomes(
    found: list[Job], processes: int, folder: Path | None = None
) -> Iterator[Row | Failure]:
    """Yield the outcome of each job, in order."""
    one = partial(outcome, folder=folder)
    if processes == 1:
        yield from map(one, found)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(one, found)
