"""Where a shift enters: at a layer of the UNet, the bottleneck above all, or at ε itself.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 3.2, 3.3 and App. D.3.

Names   those of `models/unet_layers.py`, h the bottleneck; eps is the ε that the network predicts
Clipped where a model is sampled with x̂_0 in [-1, 1], so is what a shift made, wherever it entered
"""

from torch import Tensor

from latentgeo.core.parameterization import eps_from
from latentgeo.infer.sampling.unprompted import as_sampled, eps_of
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.unet_layers import H, Skips, layers, number

EPS = "eps"


def check_layer(model: ImageModel, layer: str) -> None:
    """Raise ValueError unless a shift can enter a model there."""
    known = (*layers(len(model.config.unet.channels)), EPS)
    if layer not in known:
        raise ValueError(f"layer: got {layer!r}, wanted one of {', '.join(known)}")


def place_of(model: ImageModel, layer: str) -> tuple[int, int]:
    """Return a layer's number and how many there are; ε is the last, and not counted in the paper.

    Asyrp Sec. D.3   h is the 8th layer of a network with six resolutions
    """
    count = len(model.config.unet.channels)
    total = len(layers(count)) + 1
    return (total if layer == EPS else number(layer, count)), total


def shiftable(
    model: ImageModel, x: Tensor, t: Tensor, labels: Tensor | None = None, layer: str = H
) -> tuple[Tensor, Skips]:
    """Return what a shift is added to (B, C', H', W') at x_t = x and t (B,), and the skips.

    Asyrp Sec. D.3   the deepest feature maps h_t, or those of another layer
    Asyrp Sec. 3.2   or ε_t, before x̂_0 is clipped
    """
    if layer != EPS:
        return model.encode_h(x.to(model.dtype), t, labels, layer)
    h, skips = model.encode_h(x.to(model.dtype), t, labels)
    output = model.decode_h(h, skips, t, labels).to(x.dtype)
    return eps_from(model.schedule, x, output, t, model.config.prediction), ()


def shifted_eps(
    model: ImageModel,
    x: Tensor,
    h: Tensor,
    skips: Skips,
    t: Tensor,
    labels: Tensor | None = None,
    layer: str = H,
) -> Tensor:
    """Return ε(x_t | Δh_t) (B, C, h, w), where h (B, ...) holds Δh_t already.

    Asyrp Sec. 3.2   ε̃_t = ε_t + Δε_t, where the layer is ε
    """
    if layer == EPS:
        return as_sampled(model, x, h, t)
    return eps_of(model, x, model.decode_h(h, skips, t, labels, layer), t)
