"""How far the map from noise to h-space is from a scaled isometry, and the loss that trains it.

Hahm et al. (arXiv 2407.11451), Sec. 3.2 and 3.3, after Lee et al. (ICLR 2022). The encoder h(x) of
a denoiser maps the sphere of noise (core/sphere.py) to h-space, whose metric is H = I. With f the
map in a chart's coordinates z, J_f its Jacobian and G the chart's metric, f is a scaled isometry
where R = J_fᵀ H J_f G⁻¹ is a multiple of I.

Without a chart   J_f = J U G^½, with J = ∂h/∂x and U the orthonormal tangents, so that
                  R ≅ Uᵀ JᵀJ U. A probe of the plane is then a probe w of the tangent space, w = P v
                  with v ~ N(0, I) of x's shape, R v is P JᵀJ w, and no chart is left
One JVP, one VJP  G is a number per sample, so J(v/G) = J(v/√G)/√G: Tr(R) and Tr(R²) of one probe
                  take s = J w and y = P Jᵀ s, of one pass there and back (core/round_trip.py);
                  App. A.2 counts three JVPs
The gradient      of the weights is d‖s‖² = 2 ⟨s, dJ w⟩ and d‖y‖² = 2 ⟨s, dJ y⟩ + 2 ⟨J y, dJ w⟩

Notation   x (B, ...) on the sphere; v, w (R, B, ...) probes; h = encode(x) (B, ...) without mixing
           samples
Geometry   "sphere" is G of the sphere; "plane" the ablation G = I, by the paper's own coordinates:
           R is then G times that of the sphere. The released code means the first and computes the
           second: it takes r = ‖z‖ in Eq. 3, where G is 1, on points of length √(n-1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from latentgeo.core import dual
from latentgeo.core.linearize import Map, jacobian
from latentgeo.core.precision import inner, norms, widened
from latentgeo.core.round_trip import round_trip
from latentgeo.core.sphere import scaled_metric_at, tangent

Geometry = Literal["sphere", "plane"]
Encode = Callable[[Tensor], Tensor]  # x (B, ...) to h (B, ...)


class Traces(NamedTuple):
    """What every sample's probes say of its R, connected to the weights where asked for."""

    first: Tensor  # (R, B), vᵀRv, of mean Tr(R)
    second: Tensor  # (R, B), vᵀRᵀRv, of mean Tr(R²)


def pullback(encode: Map, x: Tensor) -> Tensor:
    """Return R (B, n, n) in the basis of x's space, of rank n - 1: P JᵀJ P. For small models.

    Iso Eq. 4   R = J_fᵀ H J_f G⁻¹ (rearranged: by an orthonormal basis of the tangent space)
    """
    rows = jacobian(encode, x).transpose(0, 1)  # (m, B, n)
    J = widened(tangent(x, rows.unflatten(2, x.shape[1:]))).flatten(2).transpose(0, 1)  # (B, m, n)
    return J.mT @ J


def exact_traces(encode: Map, x: Tensor, geometry: Geometry = "sphere") -> tuple[Tensor, Tensor]:
    """Return Tr(R) and Tr(R²), both (B,), by forming R. For small models."""
    R = pullback(encode, x)
    first, second = R.diagonal(dim1=1, dim2=2).sum(1), R.square().sum((1, 2))
    g = metric_of(x, geometry)
    return g * first, g**2 * second


def metric_of(x: Tensor, geometry: Geometry) -> Tensor:
    """Return the number (B,) that R of this geometry is times R of the sphere.

    Raises ValueError for a geometry that there is not.
    """
    r = norms(x)
    if geometry == "sphere":
        return torch.ones_like(r)
    if geometry != "plane":
        raise ValueError(f"geometry: got {geometry!r}, wanted sphere or plane")
    return scaled_metric_at(x, r)


def traces(
    encode: Encode, x: Tensor, probes: Tensor, geometry: Geometry = "sphere", graph: bool = True
) -> Traces:
    """Return the traces' estimates from standard normal probes v (R, B, ...), one pair per probe.

    Iso Eq. 6      vᵀ R v = ‖s‖², vᵀ Rᵀ R v = ‖y‖², s = J w, y = P Jᵀ s, w = P v
    Iso Sec. 3.3   E[vᵀ JᵀJ G⁻¹ v] = E[vᵀ √G⁻¹ JᵀJ √G⁻¹ v], and so for each v, as G is a number per
                   sample
    Iso Sec. A.2   x_t and h are held, not J; one JVP and one VJP where print has three JVPs

    With `graph` they are connected to the weights of `encode`, which runs once per probe; without,
    it runs twice, and holds one graph at a time. Raises ValueError for probes that do not go
    with x.
    """
    if probes.shape[1:] != x.shape or not len(probes):
        raise ValueError(
            f"probes: got {tuple(probes.shape)}, "
            f"wanted (R, {', '.join(map(str, x.shape))}), R at least 1"
        )
    x = x.detach()
    g = metric_of(x, geometry)
    pairs = [_of_probe(encode, x, tangent(x, v), graph) for v in probes]
    first, second = (torch.stack(column) for column in zip(*pairs, strict=True))
    return Traces(g * first, g**2 * second)


def _of_probe(encode: Encode, x: Tensor, w: Tensor, graph: bool) -> tuple[Tensor, Tensor]:
    """Return ‖s‖² and ‖y‖², both (B,), of one tangent probe w (B, ...)."""
    if graph:
        s, pulled = round_trip(encode, x, w)
    else:
        with torch.no_grad():
            s = dual.jvp(encode, x, w)[1]
        pulled = _pulled(encode, x, s)
    y = tangent(x, pulled)
    return inner(s, s), inner(y, y)


def _pulled(encode: Encode, x: Tensor, u: Tensor) -> Tensor:
    """Return Jᵀu (B, ...) without a graph."""
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        (found,) = torch.autograd.grad(encode(leaf), leaf, u)
    return found


def isometry_loss(found: Traces) -> Tensor:
    """Return L_iso (), means over samples and probes before the ratio.

    Iso Eq. 6   L_iso = E[Tr(R²)] / E[Tr(R)]²

    Its least value, of a scaled isometry, is 1/(n-1); where h has fewer than n-1 numbers, m, no map
    is one, and it is 1/m. Over a batch it is a ratio of means, biased by the variance of the
    denominator, as 1/(R B).
    """
    return found.second.mean() / found.first.mean().square()


def isometry_loss_error(found: Traces) -> Tensor:
    """Return the standard error () of L_iso, to first order; ∞ of one sample and one probe.

    Iso Eq. 6   d(S/F²) = (dS - 2 (S/F) dF) / F² for S = E[Tr(R²)] and F = E[Tr(R)], whose scatter
                is that of samples, drawn independently, or of probes if there is one sample
    """
    units = found if found.first.shape[1] == 1 else Traces(*(one.mean(0) for one in found))
    first, second = (one.detach().flatten() for one in units)
    if len(first) == 1:
        return first.new_tensor(torch.inf)
    F, S = first.mean(), second.mean()
    return ((second - 2 * (S / F) * first) / F.square()).std() / len(first) ** 0.5


def standard_errors(found: Traces) -> Traces:
    """Return the standard errors (B,) of each sample's Tr(R) and Tr(R²); ∞ of a single probe.

    Iso Eq. 8   s/√N over N probes, s their standard deviation: it falls with N
    """
    count = len(found.first)
    if count == 1:
        return Traces(*(torch.full_like(one[0], torch.inf) for one in found))
    return Traces(*(one.detach().std(0) / count**0.5 for one in found))


def isometry_loss_per_sample(found: Traces) -> Tensor:
    """Return the mean over samples of each one's own ratio ().

    Iso Eq. 6, with the ratio inside the expectation over x_t: it lets c differ from sample to
    sample, and a scaled isometry at every point by itself is enough. Numerator and denominator
    share their N normal probes, and more samples do not help: to first order in 1/N the ratio is
    too large by its 6 Tr(R²)/Tr(R)² - 4 Tr(R³)/(Tr(R²) Tr(R)) parts over N.
    """
    return (found.second.mean(0) / found.first.mean(0).square()).mean()


def weight(t: Tensor, T: int, p: float, strength: float) -> Tensor:
    """Return λ_iso(p, t) (B,) at times t (B,).

    Iso Eq. 7   λ_iso(p, t) = λ_iso 1_{t > pT}
    """
    return strength * (t > p * T).to(torch.get_default_dtype())
