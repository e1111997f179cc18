"""The settings of `edit-text`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import each_once
from latentgeo.models.bundles.settings import Dtype

Method = Literal["smooth", "sdedit", "prompt-to-prompt", "plug-and-play"]


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """How each method edits, whatever the prompts."""

    source_guidance: float | None = option(
        None, "guidance of the source; unset, 1 for an image, which is inverted so, else --guidance"
    )
    refine: int = option(3, "fixed-point rounds per step of an image's inversion")
    release: float = option(0.7, "smooth: share of T, to its end, under the target's prompt")
    strength: float = option(0.6, "sdedit: share of the steps that is noised away and redone")
    cross: float = option(
        0.2, "prompt-to-prompt: share of the steps with the source's words' maps; published: 0.8"
    )
    self_maps: float = option(0.4, "prompt-to-prompt: the same for maps of self-attention")
    swap: bool = option(True, "prompt-to-prompt: a word takes the map of the one it stands for")
    blend: bool = option(False, "prompt-to-prompt: keep the source where no changed word is")
    threshold: float = option(0.3, "of --blend, on the maps over their largest value")
    features: float = option(0.8, "plug-and-play: share of the steps with the source's features")
    attention: float = option(0.5, "plug-and-play: the same for its self-attention")
    block: int | None = option(
        None, "plug-and-play: block of the decoder, 0 the coarsest; a third of the way up if unset"
    )

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        for name in ("release", "cross", "self_maps", "threshold", "features", "attention"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength must be in (0, 1], got {self.strength}")
        if self.refine < 0:
            raise ValueError(f"refine must not be negative, got {self.refine}")
        if self.source_guidance is not None and not self.source_guidance >= 0:
            raise ValueError(f"source_guidance must not be negative, got {self.source_guidance}")


@dataclass(frozen=True, kw_only=True)
class EditText(EditOptions):
    """Edit an image by its description: what it shows, and what it shall show instead."""

    source: str = required("what the image shows")
    target: tuple[str, ...] = required("what it shall show; several make an edit each")
    out: Path = output("folder for the images, the strip and the record; files are replaced")
    image: Path | None = option(None, "image to edit; drawn from the source's prompt if unset")
    inversion_method: Literal["ddim", "null-text"] = option(
        "ddim",
        "of --image: by DDIM at guidance 1, or null-text inversion at --guidance",
        was="inversion",
    )
    seed: int = option(0, "seed of the image that is drawn, and of sdedit's noise")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"), "models to compare: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    method: Method = option("smooth", "how to edit")
    reweight: tuple[str, ...] = option(
        (), "prompt-to-prompt: WORD=C, the target's attention on a word times C in [-2, 2]"
    )
    blend_words: tuple[str, ...] = option((), "blend with these words in place of changed ones")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    guidance: float | None = option(None, "guidance scale w of the target; the model's if unset")
    size: int | None = option(None, "side of the images in pixels; the model's default if unset")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse edits into nothing, and options that the method does not have."""
        super().__post_init__()
        if not self.target or not self.source:
            got = f"{self.source!r} and {list(self.target)}"
            raise ValueError(f"source and target: got {got}, wanted a prompt for each")
        each_once(self, "models")
        drawn = self.image is None
        if self.inversion_method == "null-text" and (drawn or self.source_guidance is not None):
            raise ValueError(
                "inversion_method: null-text is of an --image, at the target's guidance"
            )
        if self.method != "prompt-to-prompt":
            for name in ("reweight", "blend", "blend_words"):
                if getattr(self, name):
                    raise ValueError(f"{name} is of prompt-to-prompt, got method {self.method!r}")
