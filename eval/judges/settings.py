"""The settings of `eval-judge` and `eval-segmenter`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class EvalJudge:
    """Measure how well a directional judge reads faces: by prompts, by captions, by directions."""

    out: Path = output("folder for the results; files of the same name are replaced")
    judge: str = option("avatars", "avatars, or a path of CLIP's or of a small CLIP's weights")
    templates: bool = option(False, "average every text over the 79 sentences")
    data: str | None = option(None, "zip of faces with attributes; the embedded avatars if unset")
    n_images: int = option(1024, "held-out faces", was="images")
    captions: int = option(256, "of them, how many are matched with their captions")
    pair_folder: Path | None = option(
        None, "folder that render-pairs wrote: measures directions, too", was="pairs"
    )
    seed: int = option(0, "seed of the choice of faces")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")

    def __post_init__(self) -> None:
        """Refuse what no measurement could use, before torch is imported."""
        at_least(self, 2, "n_images", "captions")
        if self.captions > self.n_images:
            raise ValueError(f"captions: got {self.captions} of {self.n_images} images (n_images)")


@dataclass(frozen=True, kw_only=True)
class EvalSegmenter:
    """Measure a segmenter of faces against their exact masks."""

    out: Path = output("folder for the results; files of the same name are replaced")
    masks: Path = required("folder of masks that render-masks wrote of held-out faces")
    segmenter: Path | None = option(None, "weights; the embedded one if unset")
    data: str | None = option(None, "zip of the faces; the embedded avatars if unset")
    through_vae: bool = option(
        False, "put the faces through the embedded autoencoder first", was="vae"
    )
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
