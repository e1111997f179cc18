"""How much work an order is: its FLOP, and the bytes that it has to move at least.

Notation   U = 2 B H N M d FLOP, one product of an N × M with an M × d matrix for every head (if
           causal, of the pairs that attend); e bytes a number
Attention  products and bytes (in B H d e, as multiples of N and of M) per pass; a pass reads and
           writes each of its tensors once, and a forward pass with its tangent is one pass.
           In `QUERIES` only the queries move, as in cross-attention to text. A mask, a byte or e
           a pair, is read once per pass
Others     no products: bytes only, every operand, cotangent, tangent and result once per pass

The counts are of what is asked for, whoever computes it, so that contenders' TFLOP/s compare. A
contender may do more: an autograd function whose keys have gradients computes them in the inner
backward pass too, where only the queries' are used.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch

from latentgeo.kernels.bench.operators import Heads, Operator


class Work(NamedTuple):
    """What one run of an order has to do."""

    flop: int
    bytes: int

    def floor(self, flop_per_second: float | None, bytes_per_second: float) -> float:
        """Return the seconds that it takes at least, at these rates: the roofline's time.

        The roofline min(peak, bandwidth · FLOP / byte) is FLOP over this; without a rate of FLOP
        only bytes count.
        """
        moving = self.bytes / bytes_per_second
        return moving if flop_per_second is None else max(self.flop / flop_per_second, moving)


class Pass(NamedTuple):
    """One pass of attention."""

    products: int
    rows: int  # tensors like q
    columns: int  # tensors like k


FORWARD: Final = Pass(2, 2, 2)  # q, k, v -> o
ALL: Final = {
    "vjp": Pass(7, 4, 4),  # q, k, v, o, u -> dq, dk, dv
    "jvp": Pass(5, 4, 4),  # q, k, v, o, their tangents -> o_dot
    "forward+jvp": Pass(7, 4, 4),
    "hvp": Pass(15, 6, 6),  # q, k, v, o, u, the tangents, o_dot -> gq, gk, gv
}
QUERIES: Final = {
    "vjp": Pass(3, 4, 2),  # dq alone
    "jvp": Pass(3, 4, 2),  # q_dot alone
    "forward+jvp": Pass(5, 4, 2),
    "hvp": Pass(10, 6, 4),  # of q_dot, in q, k and v
}


def work(operator: Operator, order: str, dtype: torch.dtype) -> Work:
    """Return the work of one run of an order."""
    if operator.attention is not None:
        moved = ALL if operator.moved == operator.trained else QUERIES
        return _attention(operator.attention, _passes(moved)[order], dtype.itemsize)
    return Work(0, _streamed(operator, order, dtype.itemsize))


def _passes(moved: dict[str, Pass]) -> dict[str, list[Pass]]:
    return {
        "forward": [FORWARD],
        "forward-backward": [FORWARD, ALL["vjp"]],
        "forward-jvp": [moved["forward+jvp"]],
        "reverse-reverse": [FORWARD, moved["vjp"], moved["jvp"], moved["hvp"]],
        "double-backward": [moved["jvp"], moved["hvp"]],
        "jvp-backward": [moved["forward+jvp"], moved["hvp"], moved["vjp"]],
    }


def _attention(size: Heads, passes: list[Pass], itemsize: int) -> Work:
    every = size.batch * size.heads * size.width
    of_rows = sum(each.rows * size.rows + each.columns * size.columns for each in passes)
    pair = {None: 0, "bool": 1, "additive": itemsize}[size.mask]
    return Work(
        flop=2 * every * size.scores * sum(each.products for each in passes),
        bytes=every * itemsize * of_rows + pair * size.rows * size.columns * len(passes),
    )


def _streamed(operator: Operator, order: str, itemsize: int) -> int:
    """Return the bytes of p, y, and of the operands that are trained and that move.

    forward          p -> y
    backward         p, u -> the gradients
    jvp              p, t -> y, y_dot
    double backward  p, u, t -> the gradients, and u's
    of a jvp         p, u, t -> the gradients, and t's
    """
    p, trained, moved = (
        sum(map(math.prod, operator.shapes[:count]))
        for count in (len(operator.shapes), operator.trained, operator.moved)
    )
    y = math.prod(operator.result)
    double = p + y + moved + trained + y
    numbers = {
        "forward": p + y,
        "forward-backward": p + y + p + y + trained,
        "forward-jvp": p + moved + y + y,
        "reverse-reverse": p + y + p + y + moved + double,
        "double-backward": double,
        "jvp-backward": p + moved + y + y + p + y + moved + trained + moved,
    }
    return numbers[order] * itemsize
