"""The settings of `edit-text`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least, each_once
from latentgeo.models.bundles.settings import Dtype

Method = Literal[
    "smooth",
    "sdedit",
    "cycle-diffusion",
    "prompt-to-prompt",
    "plug-and-play",
    "pix2pix-zero",
    "disentangle",
]

SHARES = ("release", "eta", "cross", "self_maps", "threshold", "features", "attention")


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """How each method edits, whatever the prompts.

    Smooth Sec. 4.4   r in {0.6, 0.7, 0.8, 0.9}, here `release`
    """

    source_guidance: float | None = option(
        None,
        "guidance scale of the source; unset: 1 for an image, because it is inverted so, else "
        "--guidance",
    )
    refine: int = option(
        3, "fixed-point rounds in each step of an image's inversion; more is more exact"
    )
    release: float = option(
        0.7, "smooth: the last share of T is drawn under the target's prompt; more changes more"
    )
    strength: float = option(
        0.6, "sdedit: share of the steps that is noised and drawn again; more changes more"
    )
    cycle_strength: float = option(
        0.8,
        "cycle-diffusion: share of the steps that the image is encoded and drawn again over; more "
        "changes more",
    )
    eta: float = option(
        0.1,
        "cycle-diffusion: η, how much fresh noise each step adds; more keeps more",
    )
    map_guidance: float = option(
        0.1,
        "pix2pix-zero: step of each x_t towards the source's cross-attention maps; more keeps more",
    )
    whitening: int = option(
        5, "pix2pix-zero: rounds that make ε white noise again in its inversion; 0 is plain DDIM"
    )
    sentence_pairs: int = option(
        64, "pix2pix-zero: captions of avatars drawn on either side for the direction of the edit"
    )
    weight_rounds: int = option(
        10, "disentangle: updates of the weights between the two texts; more takes longer"
    )
    keep_weight: float = option(
        0.05, "disentangle: β of the perceptual loss; more keeps more of the source"
    )
    kept_steps: int = option(
        1,
        "disentangle: last steps whose graph stays in memory, where others are computed again; all "
        "of them make it a third shorter",
    )
    judge: str = option(
        "avatars",
        "judge of disentangle's directional loss: avatars, or the file or folder of a CLIP",
    )
    cross: float = option(
        0.2,
        "prompt-to-prompt: share of the steps with the source's cross-attention maps; the paper"
        " has 0.8",
    )
    self_maps: float = option(
        0.4, "prompt-to-prompt: share of the steps with the source's self-attention maps"
    )
    swap: bool = option(
        True, "prompt-to-prompt: a new word takes the map of the word that it replaces"
    )
    blend: bool = option(
        False, "prompt-to-prompt: keep the source's pixels where no changed word looks"
    )
    threshold: float = option(
        0.3,
        "prompt-to-prompt: a pixel is free with --blend where a map is above this share of its "
        "largest value",
    )
    features: float = option(
        0.8, "plug-and-play: share of the steps that take the source's features"
    )
    attention: float = option(
        0.5, "plug-and-play: share of the steps that take the source's self-attention"
    )
    block: int | None = option(
        None,
        "plug-and-play: decoder block whose features are taken, 0 the coarsest; unset: a third "
        "of the way up",
    )

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("strength", "cycle_strength"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")
        for name in ("refine", "whitening", "map_guidance", "weight_rounds", "keep_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        at_least(self, 1, "sentence_pairs", "kept_steps")
        if self.source_guidance is not None and not self.source_guidance >= 0:
            raise ValueError(f"source_guidance must not be negative, got {self.source_guidance}")


@dataclass(frozen=True, kw_only=True)
class EditText(EditOptions):
    """Edit an image by its description: what it shows, and what it shall show instead."""

    source: str = required("what the image shows")
    target: tuple[str, ...] = required(
        "what the image shall show; several targets make an edit each"
    )
    out: Path = output("folder for the images, the strip and the record; files are replaced")
    image: Path | None = option(None, "image file to edit; unset: an image drawn from --source")
    inversion_method: Literal["ddim", "null-text"] = option(
        "ddim",
        "how --image is inverted: ddim at guidance 1, or null-text at --guidance",
        was="inversion",
    )
    seed: int = option(
        0, "seed of the image if it is drawn, and of the noise of sdedit and cycle-diffusion"
    )
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"), "models to compare: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    method: Method = option("smooth", "how to edit")
    reweight: tuple[str, ...] = option(
        (),
        "prompt-to-prompt: WORD=C multiplies the attention on a word of the target by C, -2 to 2",
    )
    blend_words: tuple[str, ...] = option(
        (), "prompt-to-prompt: words that --blend takes in place of the changed ones"
    )
    source_sentences: Path | None = option(
        None,
        "pix2pix-zero: text file of sentences with what is there, one a line; unset: --source, or "
        "for a caption of the avatars' grammar captions drawn from it",
    )
    target_sentences: Path | None = option(
        None, "pix2pix-zero: the same with what shall be there; unset: --target, or drawn"
    )
    steps: int | None = option(None, "DDIM steps; unset: the model's own default")
    guidance: float | None = option(
        None, "guidance scale w of the target; unset: the model's own default"
    )
    size: int | None = option(None, "side of the images in pixels; unset: the model's own")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse edits into nothing, and options that the method does not have."""
        super().__post_init__()
        if not self.target or not self.source:
            got = f"{self.source!r} and {list(self.target)}"
            raise ValueError(f"source and target: got {got}, wanted a prompt for each")
        each_once(self, "models")
        drawn = self.image is None
        if self.inversion_method == "null-text" and (drawn or self.source_guidance is not None):
            got = "no --image" if drawn else "--source-guidance"
            raise ValueError(
                f"inversion_method: got null-text with {got}, wanted an --image alone: it is "
                "inverted for --guidance"
            )
        self._check_sentences()
        if self.method != "prompt-to-prompt":
            for name in ("reweight", "blend", "blend_words"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name}: got it with --method {self.method}, wanted prompt-to-prompt"
                    )

    def _check_sentences(self) -> None:
        given = [self.source_sentences, self.target_sentences]
        if any(given) and (self.method != "pix2pix-zero" or not all(given)):
            got = f"--method {self.method}" if all(given) else "one of the two files"
            raise ValueError(
                f"source_sentences and target_sentences: got {got}, wanted both files and "
                "--method pix2pix-zero"
            )
