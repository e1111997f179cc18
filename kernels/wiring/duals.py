"""Dual numbers, (x, ẋ) as one tensor: how an operator says what it makes of them.

A dual number is a subclass of Tensor that holds x and ẋ, both (B, ...), as `stacked` (2B, ...), and
overrides PyTorch's functions (`__torch_function__`). The class comes from outside; an operator
names its rule here, as the attribute `on_duals` of its function, and calls of it with a dual number
among the arguments are passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

P = ParamSpec("P")


def by_hand(
    on_duals: Callable[P, Tensor],
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Have a function's calls with dual numbers answered by `on_duals`, which returns (y, ẏ)."""

    def decorate(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            if has_torch_function(tensors):
                result: Tensor = handle_torch_function(called, tensors, *args, **kwargs)
                return result
            return function(*args, **kwargs)

        vars(called)["on_duals"] = on_duals
        return called

    return decorate


def stacked(x: Tensor) -> Tensor:
    """Return (x, ẋ) (2B, ...) of a dual number, and a plain tensor as it is."""
    return getattr(x, "stacked", x)


def parts(operands: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return primals and tangents (B, ...) of operands; a plain tensor's tangent is None."""
    primals: list[Tensor] = []
    tangents: list[Tensor | None] = []
    for x in operands:
        both = stacked(x)
        primal, tangent = (x, None) if both is x else both.chunk(2)
        primals.append(primal)
        tangents.append(tangent)
    return primals, tangents


def transforming() -> bool:
    """Whether a transform of torch.func is under way."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def recording() -> bool:
    """Whether what a backward pass computes has to be made of functions that autograd knows.

    So it is when the pass itself is differentiated, and under a transform, such as vmap.
    """
    return torch.is_grad_enabled() or transforming()
