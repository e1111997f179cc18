"""The stereographic chart of the sphere Sⁿ⁻¹(r), and scaling by the powers of its metric.

Isometric Diffusion measures how far the map from noise to features is from an isometry, and takes
the noise x to lie on a sphere, with coordinates z in a plane.

Notation   x (B, …) n numbers per sample, x_n the last of them; z (B, n-1); r the radius, a number
           or one per sample (B,), a constant: no derivative in it; N = (0, …, 0, r) the north pole
Errata     Iso Eq. 3 is the metric of the chart r times that of Iso Eq. 2: the latter's is
           4 r² / (1 + ‖z‖²)² I. Here z = r Π(x), so that Iso Eq. 3 holds as printed
Orders     first and second, forward and reverse (`kernels/wiring/autograd.py`); the closed forms
           are in `reference.py`, the same as Triton kernels in `triton.py`
Traffic    every operand once, in one launch up to 16,384 numbers per sample (8,192 of three
           operands or more)
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentgeo.kernels.chart.reference import Scale, ToSphere
from latentgeo.kernels.reductions.op import sample_square_norm
from latentgeo.kernels.wiring.differentiable import differentiable
from latentgeo.kernels.wiring.op import Choice, Op


def to_plane(x: Tensor, radius: Tensor | float) -> Tensor:
    """Return z (B, n-1), where the line from N through x (B, …) meets the plane of the equator.

    Iso Eq. 2   Π(x) = (x_1, …, x_{n-1}) / (r - x_n), here times r

    Plain PyTorch: there is nothing to sum. x need not lie on the sphere; at N itself z is infinite.
    Raises `ValueError` for shapes or dtypes that do not fit, and for a radius that requires a
    gradient.
    """
    if x.ndim < 2 or x[0].numel() < 2:
        raise ValueError(f"to_plane: got x {tuple(x.shape)}, wanted at least 2 numbers per sample")
    r = _radius("to_plane", x, radius).unsqueeze(1)
    rows = x.reshape(len(x), -1).to(r.dtype)
    return (r * rows[:, :-1] / (r - rows[:, -1:])).to(x.dtype)


def to_sphere(z: Tensor, radius: Tensor | float) -> Tensor:
    """Return x (B, n) on the sphere, of which z (B, n-1) are the coordinates.

    Iso Eq. 2   Π⁻¹(z) = r / (‖z‖² + 1) (2z, ‖z‖² - 1), here at z / r:
                r / (‖z‖² + r²) (2 r z, ‖z‖² - r²)

    Raises `ValueError` for shapes or dtypes that do not fit, and for a radius that requires a
    gradient.
    """
    r = _radius("to_sphere", z, radius, 2)
    return differentiable(choice(ToSphere()), z.unsqueeze(0), r.unsqueeze(0)).squeeze(0)


def metric(z: Tensor, radius: Tensor | float) -> Tensor:
    """Return the number G (B,) of the metric G I at z (B, n-1), in float32 or wider.

    Iso Eq. 3   G(z) = 4 r⁴ / (‖z‖² + r²)² I

    Raises `ValueError` as `to_sphere` does.
    """
    r = _radius("metric", z, radius, 2)
    return (2 * r**2 / (sample_square_norm(z) + r**2)) ** 2


def times_metric(v: Tensor, z: Tensor, radius: Tensor | float) -> Tensor:
    """Return G v (B, n-1) at z (B, n-1): the covector of v. Errors as for `to_sphere`."""
    return _scaled("times_metric", 2, v, z, radius)


def over_sqrt_metric(v: Tensor, z: Tensor, radius: Tensor | float) -> Tensor:
    """Return v / √G (B, n-1) at z (B, n-1): as long on the sphere as v is in the plane.

    The isometry loss has R = G^{-½} Jᵀ J G^{-½} with it. Errors as for `to_sphere`.
    """
    return _scaled("over_sqrt_metric", -1, v, z, radius)


def over_metric(v: Tensor, z: Tensor, radius: Tensor | float) -> Tensor:
    """Return v / G (B, n-1) at z (B, n-1): the vector of a covector. Errors as for `to_sphere`."""
    return _scaled("over_metric", -2, v, z, radius)


def choice(op: ToSphere | Scale) -> Choice:
    """Return an operator with its twin on Triton kernels."""

    def on_triton() -> Op:
        from latentgeo.kernels.chart.triton import TritonScale, TritonToSphere

        return TritonScale(op.exponent) if isinstance(op, Scale) else TritonToSphere()

    return Choice(op, on_triton)


def _scaled(name: str, exponent: int, v: Tensor, z: Tensor, radius: Tensor | float) -> Tensor:
    r = _radius(name, z, radius, 2)
    if v.shape != z.shape or v.dtype != z.dtype:
        got = f"v {tuple(v.shape)} of {v.dtype} and z {tuple(z.shape)} of {z.dtype}"
        raise ValueError(f"{name}: got {got}, wanted one shape and one dtype")
    operands = (operand.unsqueeze(0) for operand in (z, v, r))
    return differentiable(choice(Scale(exponent)), *operands).squeeze(0)


def _radius(name: str, x: Tensor, radius: Tensor | float, ndim: int | None = None) -> Tensor:
    """Return the radius (B,) in float32 or wider, having checked it and x."""
    if not x.dtype.is_floating_point or (ndim is not None and x.ndim != ndim):
        raise ValueError(f"{name}: got {tuple(x.shape)} of {x.dtype}, wanted (B, n-1), floating")
    wide = torch.promote_types(x.dtype, torch.float32)
    if isinstance(radius, Tensor):
        r = radius.to(x.device, wide)
    else:  # filled where it is, since a copy from the host waits, and no CUDA graph captures it
        r = torch.full((), radius, dtype=wide, device=x.device)
    if r.requires_grad:
        raise ValueError(f"{name}: the radius requires a gradient, but it is taken as a constant")
    if r.shape not in ((), (len(x),)):
        raise ValueError(f"{name}: got a radius {tuple(r.shape)}, wanted () or ({len(x)},)")
    return r.expand(len(x))
