"""The settings of the benchmarks of kernels."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least

Arch = Literal["sm_80", "sm_86", "sm_89", "sm_90", "sm_100"]
Op = Literal[
    "attention", "group-norm-silu", "layer-norm", "geglu",
    "sample-dot", "sample-square-norm", "to-sphere", "over-sqrt-metric",
]  # fmt: skip
Order = Literal[
    "forward", "forward-backward", "forward-jvp", "reverse-reverse", "double-backward",
    "jvp-backward", "vjp", "jvp", "hvp",
]  # fmt: skip
SHORT = {"vjp": "forward-backward", "jvp": "forward-jvp", "hvp": "reverse-reverse"}


@dataclass(frozen=True, kw_only=True)
class BenchKernels:
    """Time the fused operators on a GPU beside PyTorch's, and against the machine's roofline."""

    out: Path | None = output(
        "folder for the rows; started again on the same folder, the command goes on", default=None
    )
    only: tuple[str, ...] = option(
        (), "cases to run: names, parts of names, or names with wildcards, such as '*x77-*'"
    )
    op: Op | None = option(None, "operator to run at a --shape of your own, beside no other case")
    shape: tuple[int, ...] = option(
        (), "sizes of --op, such as 1,8,4096,77,40: B,H,N,M,d of attention, whose keys move if "
        "N = M; B,C,side of a group norm, B,N,C of a layer norm and of GEGLU's result, B,n else",
    )  # fmt: skip
    order: tuple[Order, ...] = option(
        ("forward",), "orders of differentiation of --op; vjp, jvp and hvp are short for three"
    )
    dtype: tuple[Literal["bf16", "fp16", "fp32"], ...] = option(
        ("bf16",), "number formats of the operands of --op"
    )
    masked: Literal["bool", "additive", "causal"] | None = option(None, "mask of --op attention")
    layout: Literal["tokens-first", "heads-first", "channels-first", "channels-last"] | None = (
        option(None, "how the operands of --op lie in memory; unset: as in the models")
    )
    list: bool = option(False, "print the cases and run none; needs no GPU")
    seconds: float = option(
        0.06, "seconds that each contender is run for, and its CUDA graph as long again"
    )
    graphs: bool = option(True, "also time the kernels alone, recorded as CUDA graphs")
    profile: Path | None = output(
        "folder for PyTorch profiler traces, written instead of times", default=None
    )
    compare: tuple[str, ...] = option(
        (), "two folders of rows, before and after: print what changed, and run nothing; "
        "FOLDER@abc takes the rows of sources, or a commit, whose name begins with abc",
    )  # fmt: skip
    threshold: float = option(
        0.03, "share of the time before, beyond which --compare takes a difference for one"
    )
    report: Path | None = output(
        "HTML file with a roofline and the times of operators: of what was measured, also before "
        "in --out, or without a GPU and such rows of counts",
        "",
        default=None,
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
        if (self.op is None) != (not self.shape):
            raise ValueError("op and shape: got one of them, wanted both, or neither for the list")
        if self.op is not None and self.only:
            raise ValueError("op and only: got both, wanted a case of your own or some of the list")
        if self.compare and len(self.compare) != 2:
            raise ValueError(f"compare: got {len(self.compare)} folders of rows, wanted 2")
        at_least(self, 0, "threshold")


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
    masked: tuple[Literal["none", "bool", "additive", "causal"], ...] = option(
        ("none",), "masks of attention that are compiled for"
    )
    jobs: int = option(1, "compilations at the same time, each in a process of its own")
    to: Path | None = output("JSON file for the report", "", default=None, was="out")
    dump: Path | None = output(
        "folder for ttir, ttgir, llir, ptx and sass of every kernel", default=None
    )
    write_golden: bool = option(
        False, "store this report as the golden one of this version of Triton"
    )

    def __post_init__(self) -> None:
        """Refuse what no report could be of."""
        at_least(self, 1, "jobs")
