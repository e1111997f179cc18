"""Local Basis: the directions of a noise's sphere in which h moves most, and moves along them.

Hahm et al. (arXiv 2407.11451), Sec. 4.3 and App. C, after Choi et al. (ICLR 2022). At a noise x the
top singular vectors of the map from the sphere to h-space are the principal variations around x:
no labels, no training. A move Δx = Σ γ_i Δ_i along them is a tangent of the sphere at x.

Notation   x (B, ...) on the sphere of radius r = ‖x‖; h = encode(x, t) (B, ...) at times t (B,);
           J the Jacobian of h along the sphere; w (B, ...) a tangent at x, as long as the move
Two moves  `arc` stays on the sphere, as the paper's text has it ("moved along the slerp"); `line`
           is x + γ Δx, as the caption of its Fig. 7 has it, and leaves it by γ²‖Δx‖²/2r
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentgeo.core.precision import norms, widened
from latentgeo.core.singular import Singular, top_singular
from latentgeo.core.sphere import onto

Encode = Callable[[Tensor, Tensor], Tensor]  # x (B, ...) and t (B,) to h (B, ...)
Move = Callable[[Tensor, Tensor], Tensor]  # x and a tangent w, both (B, ...), to x' (B, ...)


def local_basis(
    encode: Encode,
    x: Tensor,
    t: Tensor,
    k: int,
    *,
    tolerance: float = 1e-2,
    generator: torch.Generator | None = None,
    samples: int | None = None,
) -> Singular:
    """Return the k largest singular values of J at x (B, ...), and their vectors, per sample.

    Iso Sec. 4.3   the principal variations near x (Fig. 7): J v_i = σ_i u_i, v_i of the tangent
                   space of the sphere, u_i of h-space

    The map is that of x' to encode(r x'/‖x'‖, t), whose Jacobian at x is ∂h/∂x without its part
    along x. Singular vectors have no sign of their own: here the largest element of v is positive.
    The rest is as in `top_singular`.
    """
    r = norms(x)

    def around(y: Tensor, radius: Tensor, time: Tensor) -> Tensor:
        return encode(onto(y, radius), time)

    found = top_singular(
        around,
        x,
        k,
        tolerance=tolerance,
        generator=generator,
        given=(r, t),
        samples=samples,
    )
    flat = found.right.flatten(2)
    sign = flat.gather(2, flat.abs().argmax(2, keepdim=True)).sign().squeeze(2)  # (B, k)
    return found._replace(left=_scaled(found.left, sign), right=_scaled(found.right, sign))


def combined(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Return Σ_i γ_i v_i (B, ...) of vectors v (B, k, ...) and lengths γ (B, k).

    Iso Sec. C   a move in two directions at once is the sum of the two (Fig. V)
    """
    return _scaled(widened(vectors), lengths).sum(1).to(vectors.dtype)


def arc(x: Tensor, w: Tensor) -> Tensor:
    """Return the end (B, ...) of the great circle from x along the tangent w, of length ‖w‖.

    Iso Sec. 4.3   cos(‖w‖/r) x + sin(‖w‖/r) r w/‖w‖, the slerp that leaves x along w

    The norm of x does not change, and ‖w‖ = π r/2 is the way to the equator. Without w it is x.
    """
    flat, tangent = widened(x).flatten(1), widened(w).flatten(1)
    r, length = norms(x).unsqueeze(1), norms(w).unsqueeze(1)
    angle = length / r
    along = torch.sinc(angle / torch.pi) * tangent  # sin(‖w‖/r) r w/‖w‖, finite at w = 0
    return (angle.cos() * flat + along).to(x.dtype).reshape(x.shape)


def line(x: Tensor, w: Tensor) -> Tensor:
    """Return x + w (B, ...), off the sphere.

    Iso Sec. 4.3   x + γ Δx (Fig. 7)
    """
    return x + w


def _scaled(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Return γ_i v_i (B, k, ...) of vectors v (B, k, ...) and lengths γ (B, k)."""
    return lengths.reshape(*lengths.shape, *[1] * (vectors.ndim - 2)) * vectors
