"""Parts of a step as CUDA graphs: recorded once, then replayed with other numbers.

A part of a step is some five thousand launches, which take the host longer than a GPU needs for a
small batch. A graph of them is one launch. It reads its inputs, weights, gradients and statistics
where they were when it was recorded: inputs are copied there before every replay, and everything
else stays where it is, changed in place.

Kinds      There is a graph for every kind of part, and for every shape of its tensors. The first
           parts of a kind run as they are written, and are parts like any other: they compile
           kernels, move the schedule's tables, and make the gradients
Numbers    A sample's are drawn by the sample's own stream, before, as without graphs
Limits     one GPU. The optimizer, which is a few launches, is not in the graph
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from latentgeo.train.loop.task import Part

WARM = 3  # parts of a kind before it is recorded
Results = Mapping[str, Tensor]
Compute = Callable[[Part], Results]  # adds to the gradients, and returns what to log
Replay = Callable[[], None]


class Record(Protocol):
    """What records launches."""

    def beside(self, run: Callable[[], Results]) -> Results:
        """Run something as it will be when it is recorded."""

    def __call__(self, run: Callable[[], Results]) -> tuple[Replay, Results]:
        """Record what is launched, without running it; return the replay and its results."""


class Graphs:
    """The graphs of a run's parts."""

    def __init__(self, compute: Compute, record: Record | None = None) -> None:
        """Have `compute` recorded, by CUDA or by what stands for it."""
        self.compute, self.record = compute, record or OnCuda()
        self.seen: dict[Hashable, int] = {}
        self.graphs: dict[Hashable, tuple[Part, Replay, Results]] = {}

    def run(self, part: Part) -> Results:
        """Compute a part: as it is written, recorded, or by its graph."""
        shapes = [(name, x.shape, x.dtype) for name, x in part.tensors.items()]
        key = part.kind, tuple(shapes)
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= WARM:
            return self.record.beside(lambda: self.compute(part))
        if key not in self.graphs:
            held = replace(part, tensors={name: x.clone() for name, x in part.tensors.items()})
            self.graphs[key] = (held, *self.record(lambda: self.compute(held)))
        held, replay, results = self.graphs[key]
        for name, x in part.tensors.items():
            held.tensors[name].copy_(x, non_blocking=True)
        replay()
        return {name: x.clone() for name, x in results.items()}


class OnCuda:
    """Records what runs on the GPU."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()
        self.pool: Any = None  # memory that all graphs share, one at a time

    def beside(self, run: Callable[[], Results]) -> Results:
        """Run on a stream of its own, as recording does."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            results = run()
        torch.cuda.current_stream().wait_stream(self.stream)
        return results

    def __call__(self, run: Callable[[], Results]) -> tuple[Replay, Results]:
        """Record what is launched, without running it; return the replay and its results."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            results = run()
        self.pool = self.pool or graph.pool()
        return graph.replay, results


def check_graph(device: torch.device, world: int) -> None:
    """Raise ValueError where there are no graphs: on other devices, and with several ranks."""
    if device.type != "cuda":
        raise ValueError(f"graph: got device {device.type}, wanted a CUDA GPU; leave --graph out")
    if world > 1:
        raise ValueError(f"graph: got {world} ranks, wanted one; leave --graph out")
