"""The settings of `invert` and `reconstruct`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.models.bundles.settings import PREDICTION, Dtype, Prediction

Method = Literal["ddim", "null-text"]

Times = Literal["released", "printed"]


@dataclass(frozen=True, kw_only=True)
class Invert:
    """Find the noise of an image, and the null texts that lead back to it; stopped, it goes on.

    What was found for the same weights, image, prompt and settings is not computed again.
    """

    image: Path = required("image to invert; its sides must suit the model, or give --size")
    prompt: str = required("what it shows; a plain caption does, and the empty text too")
    out: Path = output("folder for the file, named by the image and all settings")
    image_b: Path | None = option(None, "second image, inverted together: one null text for both")
    prompt_b: str | None = option(None, "what that shows; the same prompt if unset")
    model: str = option("avatars", "NAME, NAME+LORA or NAME+LORA@SCALE, as for sample")
    prediction: Prediction | None = option(None, PREDICTION)
    method: Method = option("null-text", "DDIM inversion alone, or with null texts fitted")
    guidance: float | None = option(
        None, "scale w on the way back; unset it is 1 for ddim, the model's own for null-text"
    )
    guidance_up: float = option(1.0, "scale w on the way up; the papers have 1")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    inversion_times: Times = option(
        "released",
        "time that the network is given on the way up: the upper, or as printed",
        was="times",
    )
    inner: int = option(10, "updates of the null text at each step, at most")
    size: int | None = option(None, "cut the middle and scale to this side in pixels")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks; embeddings and latents stay fp32")

    def __post_init__(self) -> None:
        """Refuse a second prompt without its image."""
        if self.prompt_b is not None and self.image_b is None:
            raise ValueError("prompt_b is of image_b: got the prompt without the image")


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Make the images of an inversion again: a PNG each."""

    inversion: Path = required("file that invert wrote")
    out: Path = output("folder for the images; files of the same name are replaced")
    model: str | None = option(None, "where the model is now, if not where it was")
    prediction: Prediction | None = option(None, PREDICTION)
    guidance: float | None = option(None, "another scale w on the way back")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")
