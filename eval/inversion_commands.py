"""The commands of `eval` about inversion; importing them imports no torch."""

from dataclasses import dataclass
from typing import Literal

from latentgeo.core.cli import option
from latentgeo.core.limits import at_least, each_once
from latentgeo.eval.commands import Evaluation, Preset
from latentgeo.infer.inversion_commands import Times

Way = Literal["ddim", "ddim-guided", "null-text"]


@dataclass(frozen=True, kw_only=True)
class EvalReconstruction(Evaluation):
    """Invert held-out images and make them again: MSE, PSNR, SSIM, LPIPS; resumes, runs on ranks.

    Guidance is that of the way back for ddim-guided and null-text; every way up has none.
    """

    images: int = option(200, "held-out images, each with its caption, drawn by the seed")
    methods: tuple[Way, ...] = option(
        ("ddim", "ddim-guided", "null-text"),
        "ways there and back: w = 1 both; 1 and w; 1 and w with the null text fitted",
    )
    times: Times = option(
        "released", "time that the network is given on the way up: the upper, or as printed"
    )
    inner: int = option(10, "updates of the null text at each step, at most")

    def __post_init__(self) -> None:
        """Refuse what has no interval, and what could not be compared."""
        super().__post_init__()
        at_least(self, 2, "images")
        at_least(self, 1, "inner")
        each_once(self, "methods")

    def run(self) -> None:
        """Measure, write results.json, print the table."""
        from latentgeo.eval.reconstruction_run import evaluate_reconstruction

        evaluate_reconstruction(self)


@dataclass(frozen=True, kw_only=True)
class BenchNullText:
    """Time null-text inversion beside the published formulation; needs the package diffusers.

    --account counts one update at full size instead, in bfloat16 and without a GPU.
    """

    preset: Preset = option("avatars", "shape of the UNet")
    size: int = option(16, "side of the latents")
    images: int = option(4, "images to invert")
    steps: int = option(2, "DDIM steps")
    inner: int = option(10, "updates of the null text at each step")
    rounds: int = option(3, "measurements of each, in turn")
    account: bool = option(False, "count memory, bytes and launches of one update instead")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "size", "images", "steps", "inner", "rounds")
        if self.steps > 100:
            raise ValueError(f"steps: the published rate ends at 100, got {self.steps}")

    def run(self) -> None:
        """Measure and print the table."""
        from latentgeo.eval.bench_null_text import account_null_text, bench_null_text

        if self.account:
            print(account_null_text(self.preset, self.size, self.images))
            return
        shape = self.preset, self.size, self.images, self.steps, self.inner
        print(bench_null_text(*shape, self.rounds, self.device))
