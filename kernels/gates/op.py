"""SiLU and the gate of GEGLU, with first and second derivatives in forward and in reverse mode.

The closed forms are in `reference.py`, the same as Triton kernels in `triton.py`, what
ties them together for autograd, with the orders that exist, in `kernels/wiring/autograd.py`.

Traffic    numbers per number of x: SiLU 2, its derivatives 3 and 4; GEGLU 1.5, then 2.5 and 3.5
"""

from __future__ import annotations

from torch import Tensor

from latentgeo.kernels.gates.reference import Geglu, Silu
from latentgeo.kernels.wiring.differentiable import differentiable
from latentgeo.kernels.wiring.op import Choice, Op


def silu(x: Tensor) -> Tensor:
    """Return x σ(x), of x's shape, dtype and memory format."""
    _check("silu", x)
    return differentiable(choice(Silu()), x.unsqueeze(0)).squeeze(0)


def geglu(x: Tensor) -> Tensor:
    """Return a · GELU(b) (…, C) for x (…, 2C) = (a, b).

    GLU Eq. 5   GEGLU(x, W, V, b, c) = GELU(xW + b) ⊗ (xV + c), here given both products, V's first

    Raises `ValueError` for a last dimension that is odd.
    """
    _check("geglu", x)
    if not x.ndim or x.shape[-1] % 2:
        raise ValueError(f"geglu: got x {tuple(x.shape)}, wanted an even last dimension")
    return differentiable(choice(Geglu()), x.unsqueeze(0)).squeeze(0)


def choice(op: Silu | Geglu) -> Choice:
    """Return an operator with its twin on Triton kernels."""

    def on_triton() -> Op:
        from latentgeo.kernels.gates.triton import TritonGeglu, TritonSilu

        return TritonSilu() if isinstance(op, Silu) else TritonGeglu()

    return Choice(op, on_triton)


def _check(name: str, x: Tensor) -> None:
    if not x.dtype.is_floating_point:
        raise ValueError(f"{name}: got {x.dtype}, wanted a floating dtype")
