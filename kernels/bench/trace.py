"""A trace of PyTorch's profiler per case, for chrome://tracing and Perfetto; nothing is timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from torch.profiler import ProfilerActivity, profile

from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.contest import Contest, Ready
from latentgeo.kernels.bench.marks import marked
from latentgeo.kernels.bench.operators import Function
from latentgeo.kernels.bench.rows import OK, Row, failure

RUNS: Final = 3  # of each contender


def trace(
    contest: Contest, case: Case, contenders: Mapping[str, Function], folder: Path
) -> Iterator[Row]:
    """Write `folder`/<case>.json, and yield a row without times per contender.

    Raises `DeviceLost` as `Contest.rows` does.
    """
    found: dict[str, Ready] = {}
    yield from contest.prepared(case, contenders, found)
    try:
        path = _write(contest, case, found, folder)
    except Exception as error:
        yield from (failure(case, name, error, "the trace: ") for name in found)
        contest.check_alive()
        return
    for name, one in found.items():
        yield Row(
            case=case.name,
            contender=name,
            status=OK,
            note=str(path),
            error=one.error,
            error_of=one.error_of,
            peak_bytes=one.peak_bytes,
        )


def _write(contest: Contest, case: Case, found: Mapping[str, Ready], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path, device = folder / f"{case.name}.json", contest.clock.device
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for name, one in found.items():
            contest.announce(case.name, name)
            with marked(case.name, name, device):
                for _ in range(RUNS):
                    one.run()
            contest.clock.alive()
    profiler.export_chrome_trace(str(path))
    return path
