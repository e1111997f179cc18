"""The dimension that vmap adds, folded into the batch that attention has anyway.

Notation   size S of the new dimension; B the primal's batch, R probes (`reference.py`)
Where      the primal is batched: S becomes part of B, and the probes' batch is R·S·B
           only tangents and cotangents are: S becomes part of R, and the primal is not copied
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.autograd import Function

MASK = 3  # its place among the arguments; it may have a batch of 1 for all samples


def apply_folded(
    function: type[Function], size: int, in_dims: Sequence[int | None], args: Sequence, primal: int
) -> tuple[tuple[Tensor | None, ...], tuple[int | None, ...]]:
    """Return the function's results and their batch dimensions, for the vmap rule of a `Function`.

    in_dims says where each of args has its new dimension; the first `primal` of args, beginning
    with q, are the primal, and the rest are of the probes.
    """
    batched = any(dim is not None for dim in in_dims[:primal])
    batch = len(args[0] if in_dims[0] is None else args[0].select(in_dims[0], 0))

    def fold(place: int) -> Tensor:
        x, dim = args[place], in_dims[place]
        if not isinstance(x, Tensor) or (place < primal and not batched):
            return x
        if place == MASK and dim is None and len(x) == 1:
            return x
        x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        if place < primal:
            return x.expand(size, batch, *x.shape[2:]).flatten(0, 1)
        if batched:
            x = x.unflatten(1, (-1, batch)).transpose(0, 1).flatten(0, 1)  # (R, S, B, …)
        return x.flatten(0, 1)

    def unfold(y: Tensor) -> Tensor:
        if batched:
            return y.unflatten(0, (-1, size, batch)).transpose(0, 1).flatten(1, 2)
        return y.unflatten(0, (size, -1))

    results = function.apply(*(fold(place) for place in range(len(args))))
    unfolded = tuple(y if y is None else unfold(y) for y in results)
    return unfolded, tuple(y if y is None else 0 for y in unfolded)
