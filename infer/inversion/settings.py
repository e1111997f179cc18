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

    image: Path = required(
        "image file to invert; --size cuts and scales one whose sides do not suit the model"
    )
    prompt: str = required("what the image shows: a plain caption, or '' for none")
    out: Path = output("folder for the inversion; the file is named by the image and all settings")
    image_b: Path | None = option(
        None, "second image, inverted together with the first: one null text for both"
    )
    prompt_b: str | None = option(None, "what the second image shows; unset: as --prompt")
    model: str = option("avatars", "model: NAME, NAME+LORA or NAME+LORA@SCALE, as for sample")
    prediction: Prediction | None = option(None, PREDICTION)
    method: Method = option(
        "null-text",
        "ddim is DDIM inversion alone; null-text also fits null texts, which lead back exactly",
    )
    guidance: float | None = option(
        None,
        "guidance scale w on the way back to the image; unset: 1 for ddim, the model's own for "
        "null-text",
    )
    guidance_up: float = option(1.0, "guidance scale w on the way to the noise; the papers have 1")
    steps: int | None = option(None, "DDIM steps; unset: the model's own default")
    inversion_times: Times = option(
        "released",
        "time given to the network in a step to the noise: that of the noisier end, as in "
        "released code, or as printed in the paper",
        was="times",
    )
    inner: int = option(10, "updates of the null text in each step at most")
    fit_from: Times = option(
        "released",
        "where null texts are fitted: released is where those before lead, printed is x_t itself",
    )
    size: int | None = option(None, "cut out the middle square and scale it to this side in pixels")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks; embeddings and latents stay fp32")

    def __post_init__(self) -> None:
        """Refuse a second prompt without its image."""
        if self.prompt_b is not None and self.image_b is None:
            raise ValueError("prompt_b: got one without --image-b, which it describes")


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Make the images of an inversion again: a PNG each."""

    inversion: Path = required("inversion: the file that invert wrote")
    out: Path = output("folder for the images; files of the same name are replaced")
    model: str | None = option(None, "where the model is now; unset: where it was for invert")
    prediction: Prediction | None = option(None, PREDICTION)
    guidance: float | None = option(
        None, "another guidance scale w on the way back; unset: that of the inversion"
    )
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")
