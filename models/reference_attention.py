"""Self-attention to a reference image: the second half of a batch takes K and V of the first.

DragDiffusion (Shi et al., arXiv 2306.14435), Sec. 3.5, after MasaCtrl (arXiv 2304.08465): the
edited image looks at the keys and values of the original one, which is denoised beside it.

Layers     A UNet's self-attentions are counted in the order in which they run: down, middle, up.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from latentgeo.kernels.attention.op import attention
from latentgeo.models.attention_control import Site, controlled, sites
from latentgeo.models.unet import UNet


def self_attentions(unet: UNet) -> list[Site]:
    """Return the self-attentions, in the order in which they run."""
    return [site for site in sites(unet) if not site.cross]


def first_fine_layer(unet: UNet) -> int:
    """Return the number of the first self-attention above the decoder's coarsest that attends.

    For Stable Diffusion 1.x this is 10, the published layer.
    """
    layers = self_attentions(unet)
    coarsest = max((site.level for site in layers if site.decoder is not None), default=0)
    finer = [site.decoder is not None and site.level < coarsest for site in layers]
    return finer.index(True) if any(finer) else len(layers)


@contextmanager
def reference_attention(unet: UNet, first: int | None) -> Iterator[None]:
    """Let the second half of every batch (2B, ...) attend to the first, from layer `first` on.

    None, and the number of layers, leave every layer as it is.

    Drag Sec. 3.5   softmax(Q_edited K_refᵀ / √d) V_ref in place of the edited image's own K and V

    Raises ValueError if the UNet has no such self-attention.
    """
    layers = self_attentions(unet)
    count = len(layers)
    first = count if first is None else first
    if not 0 <= first <= count:
        raise ValueError(
            f"reference_layer: got {first}, wanted 0 to {count - 1}, the first self-attention that "
            f"looks at the original, or {count}: none does"
        )
    with controlled(layers[first:], _attend_to_first):
        yield


def _attend_to_first(_: Site, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend from q (2B, heads, N, d) to the first halves of k and v (2B, heads, N, d)."""
    if len(k) % 2:
        raise RuntimeError(f"a batch of {len(k)} has no reference half and edited half")
    half = len(k) // 2
    return attention(q, k[:half].repeat(2, 1, 1, 1), v[:half].repeat(2, 1, 1, 1))
