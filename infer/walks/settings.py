"""The settings of `interpolate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import Dtype

Coupling = Literal["index", "optimal", "partial", "random", "worst"]  # of core/couplings.py


@dataclass(frozen=True, kw_only=True)
class Interpolate:
    """Walk between two seeds, between prompts, or between two images; one or several models.

    Images are inverted first, with one null text for both (see invert); --baseline compares.
    """

    prompt: str | None = option(None, "what every image of the walk shows")
    prompts: tuple[str, ...] = option(
        (), "two or more prompts to walk between, from one seed; with images, what each shows"
    )
    coupling: tuple[Coupling, ...] = option(
        ("index", "optimal"), "between prompts: how their tokens are paired, a strip for each"
    )
    noise_too: bool = option(False, "between prompts: walk from seed to seed_b at once")
    out: Path = output("folder for the strip, the GIFs and the distances; files are replaced")
    images: tuple[Path, ...] = option((), "two images to walk between, instead of seeds")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"), "models to compare: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    baseline: tuple[Literal["vae", "anid"], ...] = option(
        (),
        "between images also: straight lines of the autoencoder's latents; noising and denoising",
    )
    seed: int = option(0, "seed of the walk's first image, and of the noise of anid")
    seed_b: int = option(1, "seed of its last image")
    frames: int = option(11, "images of the walk, or from prompt to prompt, both ends included")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    guidance: float | None = option(None, "guidance scale w (1: none); the model's own if unset")
    size: int | None = option(None, "side in pixels; the model's or the images' own if unset")
    batch: int = option(16, "images at a time; changes speed and memory alone")
    mp4: bool = option(False, "write MP4 videos too; needs the program ffmpeg")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 2, "frames")
        if self.images:
            self._check_images()
            return
        if self.baseline:
            got = f"{' '.join(self.baseline)} for a walk between seeds or prompts"
            raise ValueError(f"baseline: got {got}, wanted two --images")
        if self.seed == self.seed_b:
            raise ValueError(f"seed_b must differ from seed, got {self.seed_b} for both")
        if (self.prompt is None) == (not self.prompts):
            got = f"{self.prompt!r} and {list(self.prompts)}"
            raise ValueError(
                f"prompt or prompts: got {got}, wanted the one of a walk between seeds, or several"
            )
        if len(self.prompts) == 1:
            raise ValueError(f"prompts: got {self.prompts[0]!r} alone, wanted two or more")
        if not self.coupling or len(set(self.coupling)) != len(self.coupling):
            raise ValueError(f"coupling: got {list(self.coupling)}, wanted one or more, each once")

    def _check_images(self) -> None:
        """Refuse a number of images or prompts that makes no pair."""
        if len(self.images) != 2:
            raise ValueError(f"images: got {len(self.images)}, wanted the two ends of the walk")
        if len(self.prompts) not in (0, 2) or (self.prompt is None) == (not self.prompts):
            got = f"{self.prompt!r} and {list(self.prompts)}"
            raise ValueError(
                f"prompts: got {got} between images, wanted one --prompt, or two --prompts"
            )
        at_least(self, 1, "batch")
