"""Operators inside torch.compile, which drops the derivatives of custom autograd functions.

There an operator is one of torch.library's, known by its name and numbers, with a fake of it that
says the shapes and layouts of its results, and its gradient, so that the compiled graph has our
kernels in it.

Orders     first, in reverse; a second raises, as no gradient of `pull` is registered. Dual numbers
           (core/dual.py) are not compiled: fullgraph refuses them
Where      where kernels run; elsewhere, and in forward mode, the plain operations of the reference
           are better: the compiler fuses and differentiates those
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.library import custom_op

from latentgeo.kernels.wiring.autograd import run
from latentgeo.kernels.wiring.op import Choice

ROOMS = {"Norm": "norms", "Silu": "gates", "Geglu": "gates"}  # of the operators that are here


def fits(name: str, x: Tensor) -> bool:
    """Whether an operator of this name is to be one of torch.library's for x (...), where it is."""
    known = name in ROOMS or name == "attention"
    return known and forward_ad._current_level < 0 and (x.device.type == "cuda" or _forced())


@torch.compiler.assume_constant_result
def _forced() -> bool:
    return os.environ.get("LATENTGEO_KERNELS") == "triton"


@cache
def _choice(name: str, numbers: tuple[float, ...]) -> Choice:
    room = f"latentgeo.kernels.{ROOMS[name]}"
    kind = getattr(importlib.import_module(f"{room}.reference"), name)
    found: Choice = importlib.import_module(f"{room}.op").choice(kind.of(*numbers))
    return found


def empty(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return an uninitialized tensor, in the layout of `like` where it has this shape."""
    if _turned(shape, like):
        return like.mT.new_empty((*shape[:-2], shape[-1], shape[-2]), dtype=dtype).mT
    return like.new_empty(shape, dtype=dtype)


def settled(result: Tensor, like: Tensor) -> Tensor:
    """Return a result in the layout that `empty` has for it."""
    if _turned(result.shape, like):
        return result.mT.contiguous().mT
    return result.contiguous()


def _turned(shape: Sequence[int], like: Tensor) -> bool:
    same = tuple(shape[1:]) == tuple(like.shape[1:]) and like.ndim > 1
    return same and not like.is_contiguous() and like.mT.is_contiguous()


@custom_op("latentgeo::primal", mutates_args=())
def primal(name: str, numbers: list[float], operands: list[Tensor]) -> list[Tensor]:
    """Return y (P, …) and what the derivatives reuse."""
    results = run("forward", _choice(name, tuple(numbers)), operands)
    return [settled(x, operands[0]) for x in results]


@primal.register_fake
def _(name: str, numbers: list[float], operands: list[Tensor]) -> list[Tensor]:
    results = _choice(name, tuple(numbers)).reference.forward(*operands)
    return [empty(x.shape, operands[0], x.dtype) for x in results]


@custom_op("latentgeo::pull", mutates_args=())
def pull(
    name: str, numbers: list[float], point: list[Tensor], u: Tensor, wanted: list[bool]
) -> list[Tensor]:
    """Return Jᵀu, like each primal that is wanted."""
    op = _choice(name, tuple(numbers))
    return _asked(run("vjp", op, point, u.contiguous(), tuple(wanted)), point, wanted)


@pull.register_fake
def _(
    name: str, numbers: list[float], point: list[Tensor], u: Tensor, wanted: list[bool]
) -> list[Tensor]:
    return [empty(x.shape, x) for x, want in zip(point, wanted, strict=False) if want]


def _asked(
    found: Sequence[Tensor | None], point: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor]:
    """Return the results that are wanted, of their primals' shapes: summed over probes."""
    several = []
    for grad, x, want in zip(found, point, wanted, strict=False):
        if want:
            assert grad is not None
            grad = grad if len(grad) == len(x) else grad.sum(0, keepdim=True)
            several.append(settled(grad, x))
    return several


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.name, ctx.numbers, operands = inputs
    ctx.count = len(operands)
    ctx.save_for_backward(*operands, *output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    wanted = list(ctx.needs_input_grad[2])
    no_numbers: list[None] | None = None if ctx.numbers else []  # as autograd would have it
    if grads[0] is None or not any(wanted):
        return None, no_numbers, [None] * ctx.count
    found = iter(pull(ctx.name, ctx.numbers, [*ctx.saved_tensors], grads[0], wanted))
    return None, no_numbers, [next(found) if want else None for want in wanted]


primal.register_autograd(_backward, setup_context=_keep)
