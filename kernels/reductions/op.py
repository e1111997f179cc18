"""Inner products and squared lengths per sample, and the isometry loss's ratio of two traces.

Each has first and second derivatives in forward and in reverse mode. The closed forms are in
`reference.py`, the same as Triton kernels in `triton.py`, what ties them
together for autograd, with the orders that exist, in `kernels/wiring/autograd.py`.

Precision  sums are in float32 or wider and so are results, with or without autocast
Traffic    every operand once
"""

from __future__ import annotations

from torch import Tensor

from latentgeo.kernels.reductions.reference import Dot, SquareNorm, TraceRatio
from latentgeo.kernels.wiring.differentiable import differentiable
from latentgeo.kernels.wiring.op import Choice, Op


def sample_dot(x: Tensor, y: Tensor) -> Tensor:
    """Return ⟨x, y⟩ (B,) of x and y (B, …), summed over all but the samples.

    Raises `ValueError` for shapes or dtypes that differ or do not fit.
    """
    if x.shape != y.shape or x.dtype != y.dtype:
        got = f"x {tuple(x.shape)} of {x.dtype} and y {tuple(y.shape)} of {y.dtype}"
        raise ValueError(f"sample_dot: got {got}, wanted one shape and one dtype")
    _check("sample_dot", x)
    return differentiable(choice(Dot()), x.unsqueeze(0), y.unsqueeze(0)).squeeze(0)


def sample_square_norm(x: Tensor) -> Tensor:
    """Return ‖x‖² (B,) of x (B, …), summed over all but the samples.

    Raises `ValueError` for a shape or dtype that does not fit.
    """
    _check("sample_square_norm", x)
    return differentiable(choice(SquareNorm()), x.unsqueeze(0)).squeeze(0)


def trace_ratio(r: Tensor, s: Tensor) -> Tensor:
    """Return mean ‖r‖² / (mean ‖s‖²)² (), the means over the samples of r (B, …) and s (B, …).

    Iso Eq. 6   L_iso = E[Tr(R²)] / E[Tr(R)]² = E[vᵀRᵀRv] / E[vᵀRv]²,   v ~ N(0, I)

    With r = R v and s = J G^{-½} v this is its estimate: ‖s‖² = vᵀ R v for R = G^{-½} Jᵀ J G^{-½},
    which is the paper's Jᵀ H J G⁻¹ as H = I and G is a multiple of I; as R is symmetric, ‖r‖²
    estimates Tr(R²). Expectations are taken before the ratio, as printed: the mean of the samples'
    own ratios is biased, numerator and denominator of each sharing one v.

    Raises `ValueError` for shapes or dtypes that do not fit.
    """
    if not r.ndim or not s.ndim or r.shape[0] != s.shape[0] or r.dtype != s.dtype:
        raise ValueError(
            f"trace_ratio: got r {tuple(r.shape)} of {r.dtype} and "
            f"s {tuple(s.shape)} of {s.dtype}, wanted as many samples of one dtype"
        )
    _check("trace_ratio", r)
    return differentiable(choice(TraceRatio()), r.unsqueeze(0), s.unsqueeze(0)).squeeze()


def choice(op: Dot | SquareNorm | TraceRatio) -> Choice:
    """Return an operator with its twin on Triton kernels."""

    def on_triton() -> Op:
        from latentgeo.kernels.reductions.triton import (
            TritonDot,
            TritonSquareNorm,
            TritonTraceRatio,
        )

        if isinstance(op, TraceRatio):
            return TritonTraceRatio()
        return TritonDot() if isinstance(op, Dot) else TritonSquareNorm()

    return Choice(op, on_triton)


def _check(name: str, x: Tensor) -> None:
    if not x.ndim or not x.dtype.is_floating_point:
        raise ValueError(f"{name}: got {tuple(x.shape)} of {x.dtype}, wanted (B, …), floating")
