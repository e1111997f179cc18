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

    prompt: str | None = option(
        None, "what every image of a walk between seeds shows; with --images, what both show"
    )
    prompts: tuple[str, ...] = option(
        (),
        "two or more prompts to walk between, from one seed; with --images, what each of the "
        "two shows",
    )
    coupling: tuple[Coupling, ...] = option(
        ("index", "optimal"),
        "walk between prompts: how their tokens are paired; each way gets a strip",
    )
    noise_too: bool = option(
        False, "walk between prompts: go from --seed to --seed-b at the same time"
    )
    out: Path = output("folder for the strip, the GIFs and the distances; files are replaced")
    images: tuple[Path, ...] = option((), "two image files to walk between, instead of seeds")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"), "models to compare: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    baseline: tuple[Literal["vae", "anid"], ...] = option(
        (),
        "walk between images: also draw what is compared with; vae: a straight line between the"
        " autoencoder's latents; anid: images noised, mixed and denoised",
    )
    seed: int = option(0, "seed of the walk's first image, and of anid's noise")
    seed_b: int = option(1, "seed of the walk's last image")
    frames: int = option(
        11, "images of the walk (between prompts: from each to the next), both ends included"
    )
    steps: int | None = option(None, "DDIM steps; unset: the model's own default")
    guidance: float | None = option(
        None, "guidance scale w, 1 is no guidance; unset: the model's own default"
    )
    size: int | None = option(
        None, "side of the images in pixels; unset: the model's own, or that of --images"
    )
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    mp4: bool = option(False, "also write MP4 videos; needs the program ffmpeg")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 2, "frames")
        if self.images:
            self._check_images()
            return
        if self.baseline:
            got = f"{' '.join(self.baseline)} for a walk between seeds or prompts"
            raise ValueError(f"baseline: got {got}, wanted a walk between two --images")
        if self.seed == self.seed_b:
            raise ValueError(f"seed and seed_b: got {self.seed} twice, wanted two different ones")
        if (self.prompt is None) == (not self.prompts):
            got = "both" if self.prompts else "neither"
            raise ValueError(
                f"prompt and prompts: got {got}, wanted --prompt TEXT for a walk between seeds, "
                "or --prompts TEXT TEXT for one between prompts"
            )
        if len(self.prompts) == 1:
            raise ValueError(
                f"prompts: got {self.prompts[0]!r} alone, wanted two or more to walk between; "
                "a walk between seeds takes --prompt"
            )
        if not self.coupling or len(set(self.coupling)) != len(self.coupling):
            raise ValueError(f"coupling: got {list(self.coupling)}, wanted one or more, each once")

    def _check_images(self) -> None:
        """Refuse a number of images or prompts that makes no pair."""
        if len(self.images) != 2:
            raise ValueError(f"images: got {len(self.images)}, wanted 2, the ends of the walk")
        if len(self.prompts) not in (0, 2) or (self.prompt is None) == (not self.prompts):
            got = f"{int(self.prompt is not None)} and {len(self.prompts)} texts"
            raise ValueError(
                f"prompt and prompts: got {got}, wanted what the images show: --prompt with one "
                "text for both, or --prompts with one for each"
            )
        at_least(self, 1, "batch")
