"""Time and memory of a function: medians of many runs, contenders in turn, on a GPU or a CPU.

On a GPU a run is timed by CUDA events around it, after a write to more memory than the L2 cache
holds: inputs come from device memory, as they do in a network. Two times are taken: the eager one,
of the function as it is called, with whatever the GPU waits for Python, and that of its kernels
alone, recorded once as a CUDA graph and replayed.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

import torch

Call = Callable[[], object]
Times = list[float]  # seconds of single runs
Announce = Callable[[str], None]  # is told which contender is about to run
ROUNDS: Final = 3  # of all contenders in turn, so that a clock that drifts drifts for all
LEAST, MOST = 2, 300  # repeats of one contender in a round
CACHES: Final = 2  # how many times the L2's size is written before a run
DEFAULT_CACHE: Final = 64 << 20  # bytes, where PyTorch does not know the L2's size


class Clock(Protocol):
    """What measuring needs of a device."""

    device: torch.device

    def times(self, run: Call, repeats: int) -> Times:
        """Return the seconds of each of so many runs."""

    def peak(self, run: Call) -> int | None:
        """Run once and return the bytes allocated at most beyond those before, or None."""

    def captured(self, run: Call) -> Call | None:
        """Return the function's kernels as one call, or None where a device has no such thing."""

    def release(self) -> None:
        """Give back memory that nothing refers to."""

    def alive(self) -> bool:
        """Whether the device still answers; after some errors of a kernel none does."""


class HostClock:
    """The CPU, by the wall clock."""

    device = torch.device("cpu")

    def times(self, run: Call, repeats: int) -> Times:
        """Return the seconds of each of so many runs."""
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        return seconds

    def peak(self, run: Call) -> int | None:
        """Run once; what a CPU allocates is not known."""
        run()
        return None

    def captured(self, run: Call) -> Call | None:
        """Return None."""
        return None

    def release(self) -> None:
        """Do nothing: what a CPU has free is not measured."""

    def alive(self) -> bool:
        """Return True."""
        return True


class CudaClock:
    """The current GPU; everything runs on one stream, on which graphs can be captured."""

    def __init__(self) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device())
        self._stream = torch.cuda.Stream()
        torch.cuda.set_stream(self._stream)
        properties = torch.cuda.get_device_properties(self.device)
        cache = getattr(properties, "L2_cache_size", 0) or DEFAULT_CACHE
        self._beyond_cache = torch.empty(CACHES * cache, dtype=torch.int8, device=self.device)

    def times(self, run: Call, repeats: int) -> Times:
        """Return the seconds of each of so many runs, each with a cold cache."""
        pairs = [(_event(), _event()) for _ in range(repeats)]
        for start, end in pairs:
            self._beyond_cache.zero_()
            start.record()
            run()
            end.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) / 1e3 for start, end in pairs]

    def peak(self, run: Call) -> int | None:
        """Run once and return the bytes allocated at most beyond those before."""
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def captured(self, run: Call) -> Call | None:
        """Return a replay of the kernels that the function launches."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            run()
        graph.replay()
        torch.cuda.synchronize()
        return graph.replay

    def release(self) -> None:
        """Give back memory that nothing, or only a circle of objects, refers to."""
        gc.collect()
        torch.cuda.empty_cache()

    def alive(self) -> bool:
        """Whether the GPU still computes for this process."""
        try:
            torch.cuda.synchronize()
            return bool((torch.ones(1, device=self.device) + 1).item() == 2)
        except RuntimeError:
            return False


def in_turn(
    runs: Mapping[str, Call], clock: Clock, seconds: float, announce: Announce
) -> dict[str, Times]:
    """Return each contender's times, of about so many seconds of runs, taken in turn."""
    repeats: dict[str, int] = {}
    times: dict[str, Times] = {}
    for name, run in runs.items():
        announce(name)
        repeats[name], times[name] = _repeats(clock.times(run, LEAST), seconds), []
    with _no_garbage():
        for _ in range(ROUNDS):
            for name, run in runs.items():
                announce(name)
                times[name] += clock.times(run, repeats[name])
    return times


def _repeats(trial: Times, seconds: float) -> int:
    """Return how many runs a round has, by a few of them."""
    each = max(statistics.median(trial), 1e-9)
    return min(max(round(seconds / ROUNDS / each), LEAST), MOST)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Keep Python's collector out of what is timed."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)
