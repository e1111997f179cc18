"""The settings of `eval-judge` and `eval-segmenter`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class EvalJudge:
    """Measure how well a directional judge reads faces: by prompts, by captions, by directions."""

    out: Path = output("folder for the results; files of the same name are replaced")
    judge: str = option(
        "avatars",
        "judge: avatars, the embedded one, or a file or folder of CLIP or of a small CLIP",
    )
    templates: bool = option(
        False,
        "take for a text the mean over 79 sentences that contain it, as the released code does",
    )
    data: str | None = option(
        None, "folder or .zip of faces with attributes; unset: the embedded avatars"
    )
    n_images: int = option(1024, "held-out faces", was="images")
    captions: int = option(256, "how many of the --images are matched with their captions")
    pair_folder: Path | None = option(
        None,
        "folder that render-pairs wrote; with it, directions are measured too",
        was="pairs",
    )
    seed: int = option(0, "seed of the choice of faces")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no measurement could use, before torch is imported."""
        at_least(self, 2, "n_images", "captions")
        if self.captions > self.n_images:
            raise ValueError(
                f"captions must be at most --n-images {self.n_images}, got {self.captions}"
            )


@dataclass(frozen=True, kw_only=True)
class EvalSegmenter:
    """Measure a segmenter of faces against their exact masks."""

    out: Path = output("folder for the results; files of the same name are replaced")
    masks: Path = required("folder of the held-out faces' masks, which render-masks wrote")
    segmenter: Path | None = option(None, "file of the segmenter; unset: the embedded one")
    data: str | None = option(None, "folder or .zip of the faces; unset: the embedded avatars")
    through_vae: bool = option(
        False, "encode and decode the faces by the embedded autoencoder first", was="vae"
    )
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
