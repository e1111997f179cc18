"""The settings of the benchmarks of kernels."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least

Arch = Literal["sm_80", "sm_90", "sm_100"]


@dataclass(frozen=True, kw_only=True)
class BenchKernels:
    """Time the fused operators on a GPU beside PyTorch's, and against the machine's roofline."""

    out: Path | None = output(
        "folder for the rows; started again on the same folder, the command goes on", default=None
    )
    only: tuple[str, ...] = option(
        (), "cases to run: names, parts of names, or names with wildcards, such as '*x77-*'"
    )
    list: bool = option(False, "print the cases and run none; needs no GPU")
    seconds: float = option(
        0.06, "seconds that each contender is run for, and its CUDA graph as long again"
    )
    graphs: bool = option(True, "also time the kernels alone, recorded as CUDA graphs")
    profile: Path | None = output(
        "folder for PyTorch profiler traces, written instead of times", default=None
    )
    timeout: float = option(
        180.0, "give a contender up after so many seconds without a sign of life", was="limit"
    )

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        for name in ("seconds", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.profile is not None and self.out is not None:
            raise ValueError("profile and out: got both, wanted one: traces or rows")


@dataclass(frozen=True, kw_only=True)
class BenchAot:
    """Compile the Triton kernels for GPUs that need not be there; report registers, spills, room.

    A report that differs from the golden file of this version of Triton fails, with what differs.
    """

    arch: tuple[Arch, ...] = option(("sm_80", "sm_90"), "compute capabilities to compile for")
    dtype: tuple[Literal["bf16", "fp16", "fp32"], ...] = option(
        ("bf16", "fp16", "fp32"), "number formats of the operands"
    )
    head_dims: tuple[int, ...] = option(
        (40, 64, 72, 80, 96, 128, 160), "head dimensions of attention"
    )
    kernels: tuple[str, ...] = option(
        ("attention", "norms", "gates", "reductions", "chart"),
        "kernels to compile: families, or beginnings of kernels' names, such as attention.hvp",
    )
    jobs: int = option(1, "compilations at the same time, each in a process of its own")
    to: Path | None = output("JSON file for the report", "", default=None, was="out")
    write_golden: bool = option(
        False, "store this report as the golden one of this version of Triton"
    )

    def __post_init__(self) -> None:
        """Refuse what no report could be of."""
        at_least(self, 1, "jobs")
