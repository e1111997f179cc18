"""The settings of `sample`, and of everything that is drawn by a model without text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import MODEL_CONFIG, PREDICTION, Dtype, Prediction

Sampler = Literal["ddim", "ddpm"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Draw images: of prompts, or of a model that takes none; a PNG for each, and a grid."""

    out: Path = output("folder for the images; files of the same name are replaced")
    prompts: tuple[str, ...] = option((), "prompts, each drawn --count times")
    prompt_file: Path | None = option(None, "text file with more prompts, one on each line")
    model: str = option(
        "avatars",
        "model: an embedded name, a folder (ours or of diffusers) or a single file; +LORA@SCALE"
        " adds a LoRA",
    )
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    lora: Path | None = option(
        None,
        "adapter: a LoRA file of any program, the folder of a training, or the name of one beside "
        "the model",
    )
    lora_scale: float = option(1.0, "strength of the LoRA; 0 is the model without it")
    embeddings: tuple[Path, ...] = option((), "files of learned tokens (textual inversion)")
    seed: int = option(
        0, "seed of each prompt's first image; the second image has the next number, and so on"
    )
    count: int = option(1, "images per prompt")
    steps: int | None = option(None, "DDIM steps; unset: the model's own default")
    guidance: float | None = option(
        None, "guidance scale w, 1 is no guidance; unset: the model's own default"
    )
    eta: float = option(
        0.0, "η, how much fresh noise each step adds: 0 (DDIM, none) to 1 (as DDPM)"
    )
    sampler: Sampler = option(
        "ddim", "how to draw; ddpm is for models without text and uses their own variance"
    )
    classes: tuple[int, ...] = option((), "classes to draw, by number, where the model has classes")
    negative: str = option("", "prompt of what the images shall not show")
    size: int | None = option(None, "side of the images in pixels; unset: the model's own")
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 1, "count")


@dataclass(frozen=True, kw_only=True)
class Unprompted:
    """What a run of a model without text is of, whatever it does with it."""

    model: str = required("model without text: an embedded name, a folder or a file")
    out: Path = output("folder for the pictures and the record; files are replaced")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    label: int | None = option(None, "class to draw, by number, where the model has classes")
    steps: int | None = option(None, "DDIM steps; unset: the model's own default")
    size: int | None = option(None, "side of the images in pixels; unset: the model's own")
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")
