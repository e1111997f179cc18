"""The commands of `eval`; importing them imports no torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.cli import option, required
from latentgeo.core.limits import at_least, each_once

Dtype = Literal["fp32", "bf16", "fp16", "fp64"]
Preset = Literal["sd15", "avatars", "tiny"]
Arch = Literal["sm_80", "sm_90", "sm_100"]
Route = Literal["double-backward", "reverse-over-forward", "central-difference"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What every measurement of models needs to know."""

    out: Path = required("folder for the results; files of the same name are replaced")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"),
        "models to compare, the first is the reference: NAME, NAME+LORA, NAME+LORA@SCALE+LORA",
    )
    data: Path | None = option(None, "zip of captioned images; the embedded avatars if unset")
    seed: int = option(0, "seed of the captions and of every noise")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    guidance: float | None = option(None, "guidance scale w; the model's own default if unset")
    batch: int = option(66, "images at a time; changes speed and memory alone")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        each_once(self, "models")
        at_least(self, 1, "batch", "steps")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise ValueError(f"guidance must be finite and not negative, got {self.guidance}")


@dataclass(frozen=True, kw_only=True)
class EvalIstd(Evaluation):
    """Measure smoothness by ISTD; started again, it goes on; torchrun shares the prompts out."""

    prompts: int = option(500, "prompts, drawn by the seed")
    prompt_file: Path | None = option(
        None, "UTF-8 text file of prompts, one to a line; the held-out captions if unset"
    )
    frames: int = option(11, "images per walk, both ends included")

    def __post_init__(self) -> None:
        """Refuse walks without a standard deviation."""
        super().__post_init__()
        at_least(self, 1, "prompts")
        at_least(self, 3, "frames")

    def run(self) -> None:
        """Measure, write results.json, print the table."""
        from latentgeo.eval.istd import evaluate_istd

        evaluate_istd(self)


@dataclass(frozen=True, kw_only=True)
class EvalQuality(Evaluation):
    """Measure Fréchet distance to held-out images, and how samples follow their captions."""

    images: int = option(1000, "samples, and held-out images, of each model")
    classifier: Path | None = option(None, "attribute classifier; the embedded one if unset")
    clip: Path | None = option(None, "folder or file of CLIP: adds the CLIP score")
    inception: Path | None = option(None, "file of FID's InceptionV3: adds the FID")

    def __post_init__(self) -> None:
        """Refuse sets too small for an interval."""
        super().__post_init__()
        at_least(self, 10, "images")

    def run(self) -> None:
        """Measure, write results.json, print the table."""
        from latentgeo.eval.quality_run import evaluate_quality

        evaluate_quality(self)


@dataclass(frozen=True, kw_only=True)
class Demo(Evaluation):
    """Show and measure what Smooth-LoRA changes: one report.html and results.json."""

    quick: bool = option(False, "a minute on two cores instead of ten; wider intervals")
    classifier: Path | None = option(None, "attribute classifier; the embedded one if unset")

    def run(self) -> None:
        """Sample, walk, measure, and print where the report is."""
        from latentgeo.eval.demo import run_demo

        print(run_demo(self))


@dataclass(frozen=True, kw_only=True)
class BenchUNet:
    """Time the UNet's forward pass beside diffusers' in the same process."""

    preset: Preset = option("sd15", "shape of the UNet")
    size: int = option(32, "side of the latents")
    batch: int = option(1, "samples at a time")
    rounds: int = option(10, "measurements of each, in turn")
    only: Literal["ours", "diffusers"] | None = option(None, "run one alone, for its peak memory")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "size", "batch", "rounds")

    def run(self) -> None:
        """Measure and print the table."""
        from latentgeo.eval.bench import bench_unet

        print(bench_unet(self.preset, self.size, self.batch, self.rounds, self.only))


@dataclass(frozen=True, kw_only=True)
class BenchStep:
    """Time a training step of Smooth Diffusion beside the published formulation."""

    preset: Preset = option("avatars", "shape of the UNet")
    size: int = option(16, "side of the latents")
    batch: int = option(4, "samples at a time")
    rounds: int = option(5, "measurements of each, in turn")
    rank: int = option(8, "of the adapters")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "size", "batch", "rounds", "rank")

    def run(self) -> None:
        """Measure and print the table."""
        from latentgeo.eval.bench_step import bench_step

        print(bench_step(self.preset, self.size, self.batch, self.rounds, self.rank, self.device))


@dataclass(frozen=True, kw_only=True)
class BenchAccount:
    """Count what a training step of Smooth Diffusion launches, moves and holds; needs no GPU."""

    preset: Preset = option("sd15", "shape of the UNet")
    size: int = option(64, "side of the latents")
    batch: int = option(1, "samples at a time")
    rank: int = option(8, "of the adapters; 0 trains every weight")
    route: Route = option("double-backward", "to the regularizer's gradient")
    variants: tuple[Literal["math", "reference", "fused-attention", "fused"], ...] = option(
        ("math", "reference", "fused-attention", "fused"),
        "PyTorch's own operators; ours without a GPU; our kernels for attention; for all",
    )
    top: int = option(0, "operations to list for each, those that move most")

    def __post_init__(self) -> None:
        """Refuse what no step could be."""
        at_least(self, 1, "size", "batch")
        for name in ("rank", "top"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")

    def run(self) -> None:
        """Count and print the table."""
        from latentgeo.eval.account import Step, bench_account

        step = Step(
            preset=self.preset, size=self.size, batch=self.batch, rank=self.rank, route=self.route
        )
        print(bench_account(step, self.variants, self.top))


@dataclass(frozen=True, kw_only=True)
class BenchKernels:
    """Time the fused operators on a GPU beside PyTorch's, and against the machine's roofline."""

    out: Path | None = option(None, "folder for the rows; started again on it, the command goes on")
    only: tuple[str, ...] = option(
        (), "cases to run: names, parts of names, or globs such as '*x77-*'"
    )
    list: bool = option(False, "print the cases and run none; needs no GPU")
    seconds: float = option(0.06, "seconds of runs per contender, and as many of its graph")
    graphs: bool = option(True, "time kernels alone too, recorded as CUDA graphs")
    profile: Path | None = option(
        None, "folder for PyTorch profiler traces, written instead of times"
    )
    limit: float = option(
        180.0, "seconds without a sign of life after which a contender is given up"
    )

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        for name in ("seconds", "limit"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.profile is not None and self.out is not None:
            raise ValueError("profile writes traces instead of rows: give it or out, not both")

    def run(self) -> None:
        """Measure, print rows and bars."""
        from latentgeo.eval.kernel_bench import bench_kernels

        bench_kernels(self)


@dataclass(frozen=True, kw_only=True)
class BenchAot:
    """Compile the Triton kernels for GPUs that need not be there; report registers, spills, room.

    A report that differs from the golden file of this version of Triton fails, with what differs.
    """

    arch: tuple[Arch, ...] = option(("sm_80", "sm_90"), "compute capabilities to compile for")
    dtype: tuple[Literal["bf16", "fp16", "fp32"], ...] = option(
        ("bf16", "fp16", "fp32"), "of the operands"
    )
    head_dims: tuple[int, ...] = option((40, 64, 72, 80, 96, 128, 160), "of attention")
    kernels: tuple[str, ...] = option(
        ("attention", "norms", "gates", "reductions", "chart"),
        "families, or kernels by the beginnings of their names, such as attention.hvp",
    )
    jobs: int = option(1, "compilations at a time, each in a process")
    out: Path | None = option(None, "JSON file for the report")
    write_golden: bool = option(False, "make this report the golden one of this version of Triton")

    def __post_init__(self) -> None:
        """Refuse what no report could be of."""
        at_least(self, 1, "jobs")

    def run(self) -> None:
        """Compile, print the table, write the report, compare."""
        from latentgeo.eval.kernel_report import bench_aot
        from latentgeo.kernels.aot.rows import Request

        request = Request(
            arch=self.arch,
            dtype=self.dtype,
            head_dims=self.head_dims,
            kernels=tuple(word for words in self.kernels for word in words.split(",")),
            jobs=self.jobs,
        )
        bench_aot(request, self.out, self.write_golden)
