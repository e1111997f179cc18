"""SiLU and the gate of GEGLU, with first and second derivatives in forward and in reverse mode.

The closed forms are in `gates_reference.py`, the same as Triton kernels in `gates_triton.py`, what
ties them together for autograd, with the orders that exist, in `wiring.py`.

Traffic    numbers per number of x: SiLU 2, its derivatives 3 and 4; GEGLU 1.5, then 2.5 and 3.5
"""

from __future__ import annotations

from torch import Tensor

from latentgeo.kernels.gates_reference import Geglu, Silu
from latentgeo.kernels.wiring import differentiable


def silu(x: Tensor) -> Tensor:
    """Return x σ(x), of x's shape, dtype and memory format."""
    _check("silu", x)
    return differentiable(Silu(), x.unsqueeze(0)).squeeze(0)


def geglu(x: Tensor) -> Tensor:
    """Return a · GELU(b) (…, C) for x (…, 2C) = (a, b).

    GLU Eq. 5   GEGLU(x, W, V, b, c) = GELU(xW + b) ⊗ (xV + c), here given both products, V's first

    Raises `ValueError` for a last dimension that is odd.
    """
    _check("geglu", x)
    if not x.ndim or x.shape[-1] % 2:
        raise ValueError(f"geglu: got x {tuple(x.shape)}, wanted an even last dimension")
    return differentiable(Geglu(), x.unsqueeze(0)).squeeze(0)


def _check(name: str, x: Tensor) -> None:
    if not x.dtype.is_floating_point:
        raise ValueError(f"{name}: got {x.dtype}, wanted a floating dtype")
