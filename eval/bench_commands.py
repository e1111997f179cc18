"""The benchmarks of whole models beside their peers; importing them imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.cli import option
from latentgeo.core.limits import at_least
from latentgeo.eval.commands import Dtype, Preset


@dataclass(frozen=True, kw_only=True)
class BenchLoad:
    """Time loading a folder of diffusers beside diffusers, and its peak memory."""

    model: Path | None = option(None, "folder of diffusers; one of random weights if unset")
    preset: Preset = option("sd15", "shape of the random model")
    stored: Dtype = option("fp16", "dtype that the random model is written in")
    dtype: Dtype = option("fp16", "dtype to load in")
    rounds: int = option(9, "loads by each, in turn, each in a process of its own")

    def __post_init__(self) -> None:
        """Refuse what has no interval."""
        at_least(self, 6, "rounds")

    def run(self) -> None:
        """Measure and print the table."""
        from latentgeo.eval.bench_load import bench_load

        print(bench_load(self.preset, self.stored, self.dtype, self.rounds, self.model))


@dataclass(frozen=True, kw_only=True)
class BenchSample:
    """Time text to image beside diffusers in the same process, on the same random weights."""

    preset: Preset = option("sd15", "shape of the model")
    size: int = option(512, "side of the image in pixels")
    steps: int = option(20, "DDIM steps")
    rounds: int = option(3, "images by each, in turn")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, and what has no interval."""
        at_least(self, 1, "size", "steps")
        at_least(self, 2, "rounds")

    def run(self) -> None:
        """Measure and print the table."""
        from latentgeo.eval.bench_sample import bench_sample

        print(
            bench_sample(self.preset, self.size, self.steps, self.rounds, self.device, self.dtype)
        )


@dataclass(frozen=True, kw_only=True)
class BenchIsometric:
    """Time a training step of Isometric Diffusion beside the published formulation."""

    preset: str = option("avatars-ddpm", "shape of the model: avatars-ddpm, ddpm-cifar10, …")
    batch: int = option(4, "images at a time")
    rounds: int = option(5, "measurements of each, in turn")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "batch", "rounds")

    def run(self) -> None:
        """Measure and print the table."""
        from latentgeo.eval.bench_isometric import bench_isometric

        print(bench_isometric(self.preset, self.batch, self.rounds, self.device))
