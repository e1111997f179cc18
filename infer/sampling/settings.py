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
    """Draw images, of prompts if the model takes any: a PNG for each seed of each, and a grid."""

    out: Path = output("folder for the images; files of the same name are replaced")
    prompts: tuple[str, ...] = option((), "what to draw")
    prompt_file: Path | None = option(None, "UTF-8 text file with more prompts, one to a line")
    model: str = option(
        "avatars", "embedded name, folder (also of diffusers) or single file; +LORA@SCALE adds one"
    )
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    lora: Path | None = option(
        None, "adapter file of any grammar, or the name of one beside the model"
    )
    lora_scale: float = option(1.0, "strength of the adapter")
    embeddings: tuple[Path, ...] = option((), "files of learned tokens (textual inversion)")
    seed: int = option(0, "seed of each prompt's first image; the next count up from it")
    count: int = option(1, "images per prompt")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    guidance: float | None = option(None, "guidance scale w (1: none); the model's own if unset")
    eta: float = option(0.0, "share of fresh noise per step, 0 (DDIM) to 1 (DDPM)")
    sampler: Sampler = option("ddim", "or ddpm, of a model without text: with its own variance")
    classes: tuple[int, ...] = option((), "what to draw with a model of classes, by number")
    negative: str = option("", "prompt to steer away from")
    size: int | None = option(None, "side of the images in pixels; the model's default if unset")
    batch: int = option(16, "images at a time; changes speed and memory alone")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 1, "count")


@dataclass(frozen=True, kw_only=True)
class Unprompted:
    """What a run of a model without text is of, whatever it does with it."""

    model: str = required("embedded name, folder or file of a model of images without text")
    out: Path = output("folder for the pictures and the record; files are replaced")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    label: int | None = option(None, "class to draw with a model of classes, by number")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    size: int | None = option(None, "side of the images in pixels; the model's default if unset")
    batch: int = option(16, "images at a time; changes speed and memory alone")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")
