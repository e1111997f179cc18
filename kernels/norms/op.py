"""GroupNorm, GroupNorm with SiLU, and LayerNorm, with first and second derivatives.

All three are one operator, `norms_reference.Norm`, in closed form; the same as Triton kernels is in
`kernels.py`, what ties them together for autograd, with the orders that exist, in
`kernels/wiring/autograd.py`. Derivatives are in x and in both weights, forward and reverse.

Autocast   changes nothing, where PyTorch's own norms return float32 on a GPU: y has x's dtype, and
           statistics, products and sums are float32 with or without it. A layer behind would round
           y to 16 bits again
Traffic    numbers per element where a row or group fits on chip: 2 forward, 3 for a derivative, 4
           for a second one, 2 or 3 more for those in the weights
"""

from __future__ import annotations

import math

from torch import Tensor

from latentgeo.kernels.norms.reference import Norm
from latentgeo.kernels.wiring.differentiable import differentiable
from latentgeo.kernels.wiring.op import Choice, Op


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return γ x̂ + β (B, C, …), x̂ = (x - mean) / √(variance + eps) over each of `groups` groups.

    weight γ and bias β (C,) are 1 and 0 by default. The memory format of x is kept. Raises
    `ValueError` for shapes and dtypes that do not fit.
    """
    return _group_norm("group_norm", x, weight, bias, Norm(groups, eps, silu=False))


def group_norm_silu(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return SiLU(γ x̂ + β) (B, C, …); arguments as for `group_norm`."""
    return _group_norm("group_norm_silu", x, weight, bias, Norm(groups, eps, silu=True))


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return γ x̂ + β (…, C), x̂ = (x - mean) / √(variance + eps) over the last dimension.

    weight γ and bias β (C,) are 1 and 0 by default. Raises `ValueError` for shapes and dtypes that
    do not fit.
    """
    if not x.ndim:
        raise ValueError("layer_norm: got x (), wanted (…, C)")
    x, weight, bias = _operands("layer_norm", x, weight, bias, x.shape[-1])
    rows = x.reshape(1, math.prod(x.shape[:-1]), x.shape[-1], 1)
    return differentiable(choice(Norm(1, eps, silu=False)), rows, weight, bias).reshape(x.shape)


def choice(norm: Norm) -> Choice:
    """Return a norm with its twin on Triton kernels."""

    def on_triton() -> Op:
        from latentgeo.kernels.norms.launch import TritonNorm

        return TritonNorm(norm.groups, norm.eps, norm.silu)

    return Choice(norm, on_triton)


def _group_norm(
    name: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm
) -> Tensor:
    if x.ndim < 2 or norm.groups < 1 or x.shape[1] % norm.groups:
        raise ValueError(f"{name}: got x {tuple(x.shape)}, wanted (B, C, …), C in {norm.groups}s")
    x, weight, bias = _operands(name, x, weight, bias, x.shape[1])
    rows = x.reshape(1, *x.shape[:2], math.prod(x.shape[2:]))
    return differentiable(choice(norm), rows, weight, bias).reshape(x.shape)


def _operands(
    name: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, γ (1, C) and β (1, C)."""
    weight = x.new_ones(channels) if weight is None else weight
    bias = x.new_zeros(channels) if bias is None else bias
    for tensor, shape in (x, x.shape), (weight, (channels,)), (bias, (channels,)):
        if tensor.shape != shape or not tensor.dtype.is_floating_point:
            got = f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise ValueError(f"{name}: got a tensor {got}, wanted {tuple(shape)}, floating")
    return x, weight.unsqueeze(0), bias.unsqueeze(0)
