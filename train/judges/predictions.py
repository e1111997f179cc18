"""Images as a diffusion model predicts them from noise: what a judge of edits has to read.

Kwon, Jeong & Uh (arXiv 2210.10960), Alg. 2: edits are judged by P_t, which is blurred where t is
large. A judge that saw sharp images alone was never asked about such ones.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core import asyrp
from latentgeo.core.ddpm import q_sample
from latentgeo.infer.sampling.unprompted import eps_of, image_shape
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.load_image import load_image_model
from latentgeo.train.data.draws import Draws

SHARE = 0.5  # of the images that are seen as predictions
LATEST = 0.7  # of T: above it, little of an image is left in x_t


@dataclass(frozen=True)
class Predictions:
    """What a frozen model without text makes of images."""

    model: ImageModel

    @torch.no_grad()
    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return images (B, 3, H, W) in [-1, 1], about half of them P_t of a time of their own.

        Asyrp Eq. 3   P_t(ε(x_t)) = (x_t - √(1-α_t) ε(x_t)) / √α_t,   t uniform on 1 … 0.7 T
        """
        model = self.model
        last = int(LATEST * model.schedule.T)
        t, chosen = draws.integers(1, last, images.device), draws.chance(SHARE)
        noise = draws.normal(image_shape(model, images.shape[-1]), images)
        which = torch.tensor(chosen, device=images.device)
        if not which.any():
            return images
        x_0, t, z = model.encode(images[which]), t[which], noise[which]
        x_t = q_sample(model.schedule, x_0, t, z)
        h, skips = model.encode_h(x_t, t)
        eps = eps_of(model, x_t, model.decode_h(h, skips, t), t)
        seen = images.clone()
        seen[which] = model.decode(asyrp.predicted(model.schedule, x_t, eps, t)).to(images)
        return seen


def predictions_of(spec: str | None, size: int, device: torch.device) -> Predictions | None:
    """Return those of a model of images of size × size pixels, or none without one.

    Raises ValueError where the model has classes, or cannot make such images.
    """
    if spec is None:
        return None
    model = load_image_model(spec, device)
    if model.config.classes is not None:
        raise ValueError(f"predictions: got {spec}, which has classes, wanted a model without")
    image_shape(model, size)
    return Predictions(model)
