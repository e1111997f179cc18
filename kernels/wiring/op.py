"""What an operator of `autograd.py` brings: itself and three derivatives in closed form.

Notation   y = f(p) with J its Jacobian in the primals p; t tangents, u a cotangent. Every tensor
           has a leading axis of probes, as `autograd.py` says
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Tensors = Sequence[Tensor | None]  # None is zero, or not asked for
Wanted = tuple[bool, ...]  # which primals a result is asked for


class Op(ABC):
    """An operator in closed form.

    `point` is the operands and behind them what `forward` returned beside y.
    """

    arity: int  # the first operands are primals; any others are constants, such as a radius
    numbers: tuple[float, ...] = ()  # what it was made of: `of(*numbers)` is it again

    @classmethod
    def of(cls, *numbers: float) -> Op:
        """Return the operator that these numbers make."""
        return cls(*numbers)

    @abstractmethod
    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y (P, …), and behind it whatever the derivatives need to know again."""

    def composed(self, *operands: Tensor) -> Tensor:
        """Return y (P, …), made of operators whose own derivatives are right, of every order."""
        return self.forward(*operands)[0]

    @abstractmethod
    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return J t (P, …), like y."""

    @abstractmethod
    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return Jᵀu (P, …), like each primal, None where not wanted."""

    @abstractmethod
    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return ∇_p ⟨u, J t⟩ (P, …), like each primal, None where not wanted."""

    def pair(self, stacked: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Return (y, y_dot) (2P, …) from (x, x_dot) (2P, …), and what `forward` has beside y."""
        x, x_dot = stacked.chunk(2)
        y, *reused = self.forward(x, *others)
        y_dot = self.jvp((x, *others, *reused), (x_dot, *[None] * (self.arity - 1)))
        return torch.cat([y, y_dot]), *reused

    def pair_vjp(
        self, point: Sequence[Tensor], x_dot: Tensor, both: Tensor, wanted: Wanted
    ) -> Tensors:
        """Return the gradients of ⟨u', y⟩ + ⟨u, y_dot⟩, both = (u', u): in (x, x_dot), the others.

        In x, Jᵀu' + ∇⟨u, J x_dot⟩, in x_dot, Jᵀu: one Vjp of two cotangents, and one Hvp.
        """
        of_y, u = both.chunk(2)
        t = x_dot, *[None] * (self.arity - 1)
        curved = self.hvp(point, u, t, wanted)
        rest = self.vjp(point, of_y, (False, *wanted[1:])) if any(wanted[1:]) else [None] * len(t)
        stacked = None
        if wanted[0]:
            stacked = self.vjp(point, both, (True, *[False] * (self.arity - 1)))[0]
            assert stacked is not None and curved[0] is not None
            stacked[: len(curved[0])].add_(curved[0])
        return stacked, *map(total, rest[1:], curved[1:])


@dataclass(frozen=True)
class Choice:
    """An operator of which there are two: in plain PyTorch, and the same on Triton kernels."""

    reference: Op
    on_triton: Callable[[], Op]  # imports triton

    @property
    def arity(self) -> int:
        """How many of the operands are primals."""
        return self.reference.arity

    @property
    def numbers(self) -> list[float]:
        """What its operator is made of."""
        return [float(number) for number in self.reference.numbers]

    @property
    def name(self) -> str:
        """What errors call it."""
        return type(self.reference).__name__


def wide(x: Tensor) -> Tensor:
    """Return x (...) in float32, or as it is if that is wider: in which all is computed."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def real(x: Any) -> Any:
    """Return a tensor, or a tuple or list with tensors in it, with all numbers in memory.

    The zeros that autograd makes for what has no gradient (ZeroTensor) lie nowhere: a kernel, and
    some of PyTorch's own, would read what is not there.
    """
    if isinstance(x, Tensor):
        return x.clone() if x._is_zerotensor() else x
    if isinstance(x, tuple | list):
        parts = [real(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def only(t: Tensors) -> Tensor:
    """Return the one tangent (...) there is."""
    (tangent,) = (x for x in t if x is not None)
    return tangent


def total(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Return a + b (...), of which None is zero."""
    return b if a is None else a if b is None else a + b
