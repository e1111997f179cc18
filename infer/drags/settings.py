"""The settings of `drag`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import PREDICTION, Dtype, Prediction


@dataclass(frozen=True, kw_only=True)
class Drag:
    """Drag points of an image to other places, and what is there with them (DragDiffusion).

    What is unset is, for a model of 512 pixels, as in the released code, and for one of up to 128
    pixels as was best with the embedded model.
    """

    image: Path = required("image file of any size")
    out: Path = output("folder for the images, the animation and the tracks; files are replaced")
    prompt: str = option("", "what the image shows")
    point: tuple[str, ...] = option(
        (), "x0,y0:x1,y1: the point at x0,y0 goes to x1,y1, in pixels from the upper left, from 0"
    )
    points: Path | None = option(
        None, 'JSON file of more points: {"points": [[[x0, y0], [x1, y1]], ...]}'
    )
    mask: Path | None = option(
        None,
        "image of the same size: pixels may change where it is white, not where it is black or "
        "transparent; unset: everywhere",
    )
    model: str = option("avatars-smooth", "model: NAME, NAME+LORA or NAME+LORA@SCALE")
    prediction: Prediction | None = option(None, PREDICTION)
    size: int | None = option(
        None, "longer side in pixels while the image is edited; unset: the image's own"
    )
    seed: int = option(0, "seed of the identity LoRA's first weights and of its training's noise")
    steps: int | None = option(None, "DDIM steps from noise to image")
    strength: float | None = option(
        None, "share of the steps that is inverted and drawn again, 0 to 1"
    )
    iterations: int | None = option(None, "updates of the latent at most")
    lr: float | None = option(None, "step size of each update of the latent")
    stage: int | None = option(
        None, "decoder stage whose features are followed; 0 is the bottleneck, higher is finer"
    )
    mask_weight: float | None = option(None, "λ, the weight of keeping what the mask protects")
    protect: bool | None = option(
        None, "put the original's pixels back where the mask protects them"
    )
    tolerance: float | None = option(
        None, "a point has arrived within this distance of its target, in cells of the feature map"
    )
    reference_layer: int | None = option(
        None,
        "first self-attention, counted from 0, that looks at the original image, as all after "
        "it do; the number of all self-attentions switches that off",
    )
    lora_rank: int | None = option(None, "rank of the identity LoRA")
    lora_steps: int | None = option(None, "training steps of the identity LoRA; 0: no LoRA")
    lora_lr: float | None = option(None, "learning rate of the identity LoRA")
    lora_layers: Literal["attention", "all"] | None = option(
        None, "layers that the identity LoRA adapts: the attention's projections, or all"
    )
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no drag could be, before torch is imported."""
        if not self.point and self.points is None:
            raise ValueError("point and points: got none, wanted --point x0,y0:x1,y1, or a file")
        at_least(self, 1, "size")
