"""A convolution whose double backward leaves out the gradients that nobody asked for.

PyTorch differentiates the backward pass of a convolution with one operator, which always returns
the gradient in the weight too (up to release 2.15 at least): for a frozen weight that is more than
half of the time. Here that pass is a function of its own.

Notation   y = W * x + b; u a cotangent of y, g one of Wᵀu
Backward   of y: Wᵀu in x, and PyTorch's own in W and b
           of Wᵀu: W * g in u, and in W the gradient of ⟨u, W * g⟩
Tangent    of y: W * x_dot + W_dot * x + b_dot; of Wᵀu: Wᵀu_dot + W_dotᵀu
Orders     any, in reverse, and forward over them. Under transforms, for a W with a tangent and
           inside torch.compile it is PyTorch's convolution, which has all orders
Traffic    x and W are saved; every pass is one of PyTorch's three convolutions
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.overrides import has_torch_function_unary

from latentgeo.kernels.wiring.dispatch import cast
from latentgeo.kernels.wiring.duals import recording, transforming
from latentgeo.kernels.wiring.wanted import needed, note_tensors

aten = torch.ops.aten


class Geometry(NamedTuple):
    """How a convolution lies on its input, per axis."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Return y (B, C', H', W'), as `torch.nn.functional.conv2d`, under autocast too."""
    if not torch.is_grad_enabled() or not x.requires_grad or _elsewhere(x, weight):
        return F.conv2d(x, weight, bias, *geometry)
    operands = [None if t is None else cast(t) for t in (x, weight, bias)]
    y: Tensor = _Convolution.apply(*operands, geometry)
    return y


def _elsewhere(x: Tensor, weight: Tensor) -> bool:
    """Whether something else than x is given, or more is asked than derivatives in x and of W."""
    return (
        has_torch_function_unary(x)
        or torch.compiler.is_compiling()
        or transforming()
        or forward_ad.unpack_dual(weight).tangent is not None
    )


class _Convolution(Function):
    """(x, W, b, geometry) -> y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        note_tensors(ctx, inputs)
        x, weight, bias, ctx.geometry = inputs
        ctx.outputs = None if bias is None else list(bias.shape)
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, ...]:
        if u is None:
            return (None,) * 4
        x, weight = ctx.saved_tensors
        in_x, in_weight, in_bias, _ = needed(ctx)
        if not recording():
            mask = in_x, in_weight, in_bias
            return *_gradients(u, x, weight, ctx.geometry, ctx.outputs, mask), None
        x_bar = _Transposed.apply(u, weight, x, ctx.geometry) if in_x else None
        rest = None, None
        if in_weight or in_bias:
            mask = False, in_weight, in_bias
            rest = _gradients(u, x, weight, ctx.geometry, ctx.outputs, mask)[1:]
        return x_bar, *rest, None

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor | None, w_dot: Tensor | None, b_dot: Any, _: Any) -> Tensor:
        x, weight = (forward_ad.unpack_dual(t).primal for t in ctx.saved_tensors)
        terms = [
            conv2d(a, b, None, ctx.geometry)
            for a, b in [(x_dot, weight), (x, w_dot)]
            if a is not None and b is not None
        ]
        if b_dot is not None:
            y = F.conv2d(x, weight, None, *ctx.geometry)
            terms.append(b_dot[:, None, None].expand_as(y[0]).expand_as(y))
        return sum(terms[1:], start=terms[0])


class _Transposed(Function):
    """(u, W, x, geometry) -> Wᵀu, of the shape of x, on which it does not depend otherwise."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, weight: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        return _gradients(u, x, weight, geometry, None, (True, False, False))[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        note_tensors(ctx, inputs)
        u, weight, x, ctx.geometry = inputs
        ctx.save_for_backward(u, weight)
        ctx.save_for_forward(u, weight, x)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            return (None,) * 4
        u, weight = ctx.saved_tensors
        in_u, in_weight, *_ = needed(ctx)
        u_bar = conv2d(g, weight, None, ctx.geometry) if in_u else None
        w_bar = None
        if in_weight:
            w_bar = _gradients(u, g, weight, ctx.geometry, None, (False, True, False))[1]
        return u_bar, w_bar, None, None

    @staticmethod
    def jvp(ctx: Any, u_dot: Tensor | None, w_dot: Tensor | None, *_: Any) -> Tensor:
        u, weight, x = (forward_ad.unpack_dual(t).primal for t in ctx.saved_tensors)
        pairs = [(u_dot, weight), (u, w_dot)]
        terms = [
            _Transposed.apply(a, b, x, ctx.geometry)
            for a, b in pairs
            if a is not None and b is not None
        ]
        if not terms:  # x alone moves, and nothing of it but its shape is here
            return torch.zeros_like(x)
        return sum(terms[1:], start=terms[0])


def _gradients(
    u: Tensor,
    x: Tensor,
    weight: Tensor,
    geometry: Geometry,
    outputs: list[int] | None,
    mask: tuple[bool, bool, bool],
) -> tuple[Any, ...]:
    """Return the gradients of ⟨u, W * x + b⟩ in x, W and b, where the mask says so."""
    stride, padding, dilation, groups = geometry
    found: tuple[Any, ...] = aten.convolution_backward(
        u, x, weight, outputs, stride, padding, dilation, False, [0] * len(stride), groups, mask
    )
    return found
