"""The orders of differentiation that are timed, the same for every contender.

Notation   y = f(p) with Jacobian J; u a cotangent of y, t a tangent of the operands that move
Orders     forward             y
           forward-backward    y, then Jᵀu
           forward-jvp         y and J t together, by torch.func.jvp
           reverse-reverse     y, Jᵀu with a graph, then ∇⟨Jᵀu, t⟩ in the operands and in u
           double-backward     the last of these alone
           jvp-backward        y and J t, then ∇⟨J t, u⟩ in the operands and in t

An order is made ready once, which makes the leaves of the graph, and run many times. What it
returns is by name: y, `d0` the derivative in the first operand, `g0` the second one, `gu`, `gt0`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from latentgeo.kernels.bench.operators import Function

Results = dict[str, Tensor]
Run = Callable[[], Results]


@dataclass(frozen=True, kw_only=True)
class Data:
    """The numbers that an operator is run on."""

    operands: tuple[Tensor, ...]
    cotangent: Tensor  # u
    tangents: tuple[Tensor, ...]  # t, of the first operands
    trained: int  # how many of the operands, the first, have gradients

    def each(self, change: Callable[[Tensor], Tensor]) -> Data:
        """Return the same with every tensor changed."""
        return Data(
            operands=tuple(map(change, self.operands)),
            cotangent=change(self.cotangent),
            tangents=tuple(map(change, self.tangents)),
            trained=self.trained,
        )


def forward(f: Function, data: Data) -> Run:
    """Make y ready, without a graph."""

    def run() -> Results:
        with torch.no_grad():
            return {"y": f(*data.operands)}

    return run


def forward_backward(f: Function, data: Data) -> Run:
    """Make y and Jᵀu ready."""
    point, leaves = _point(data)

    def run() -> Results:
        y = f(*point)
        return {"y": y.detach(), **_named("d", torch.autograd.grad(y, leaves, data.cotangent))}

    return run


def forward_jvp(f: Function, data: Data) -> Run:
    """Make y and J t ready."""

    def run() -> Results:
        y, y_dot = _jvp(f, data.operands, data.tangents)
        return {"y": y, "y_dot": y_dot}

    return run


def reverse_reverse(f: Function, data: Data) -> Run:
    """Make y, Jᵀu and its derivatives ready."""
    point, leaves = _point(data)
    u = _leaf(data.cotangent)

    def run() -> Results:
        y, first = _first(f, point, u, len(data.tangents))
        second = _second(first, [*leaves, u], data.tangents)
        return {
            "y": y.detach(),
            **_named("d", (x.detach() for x in first)),
            **_named("g", second[:-1]),
            "gu": second[-1],
        }

    return run


def double_backward(f: Function, data: Data) -> Run:
    """Compute y and Jᵀu, and make the derivatives of the latter ready."""
    point, leaves = _point(data)
    u = _leaf(data.cotangent)
    _, first = _first(f, point, u, len(data.tangents))

    def run() -> Results:
        second = _second(first, [*leaves, u], data.tangents, retain_graph=True)
        return {**_named("g", second[:-1]), "gu": second[-1]}

    return run


def jvp_backward(f: Function, data: Data) -> Run:
    """Make y, J t and the derivatives of ⟨J t, u⟩ ready."""
    point, leaves = _point(data)
    t = [_leaf(x) for x in data.tangents]

    def run() -> Results:
        y, y_dot = _jvp(f, point, t)
        grads = _second([y_dot], [*leaves, *t], [data.cotangent])
        return {
            "y": y.detach(),
            "y_dot": y_dot.detach(),
            **_named("g", grads[: len(leaves)]),
            **_named("gt", grads[len(leaves) :]),
        }

    return run


ORDERS: Final[dict[str, Callable[[Function, Data], Run]]] = {
    "forward": forward,
    "forward-backward": forward_backward,
    "forward-jvp": forward_jvp,
    "reverse-reverse": reverse_reverse,
    "double-backward": double_backward,
    "jvp-backward": jvp_backward,
}


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def _point(data: Data) -> tuple[list[Tensor], list[Tensor]]:
    """Return the operands, those trained as leaves of a graph, and these leaves."""
    leaves = [_leaf(x) for x in data.operands[: data.trained]]
    return [*leaves, *data.operands[data.trained :]], leaves


def _jvp(f: Function, point: Sequence[Tensor], t: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    moved, still = tuple(point[: len(t)]), point[len(t) :]
    y, y_dot, *_ = torch.func.jvp(lambda *p: f(*p, *still), moved, tuple(t))
    return y, y_dot


def _first(
    f: Function, point: Sequence[Tensor], u: Tensor, moved: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    y = f(*point)
    return y, torch.autograd.grad(y, point[:moved], u, create_graph=True)


def _second(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    retain_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Return the gradients, zeros in what does not enter, as β does not in a norm's derivative."""
    return torch.autograd.grad(
        outputs, inputs, weights, retain_graph=retain_graph, materialize_grads=True
    )


def _named(prefix: str, tensors: Iterable[Tensor]) -> Results:
    return {f"{prefix}{place}": x for place, x in enumerate(tensors)}
