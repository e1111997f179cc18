"""vmap's axis folded into the probes, for the autograd functions of `autograd.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function


def batched(
    function: type[Function], size: int, in_dims: Sequence[Any], args: Sequence[Any]
) -> tuple[Any, Any]:
    """Return a function's results and their axes, for vmap of `size` over these axes of its args.

    The new axis is folded into the leading one, the probes, and taken out of the results again.
    """
    pairs = list(zip(args, in_dims, strict=True))
    probes = max(_probes(x, dim) for x, dim in pairs if isinstance(x, Tensor))
    folded = [_fold(x, dim, size, probes) if isinstance(x, Tensor) else x for x, dim in pairs]
    results = function.apply(*folded)
    if isinstance(results, Tensor):
        return results.unflatten(0, (size, probes)), 0
    unfolded = [_unfold(x, size, probes) for x in results]
    return tuple(x for x, _ in unfolded), tuple(dim for _, dim in unfolded)


def _probes(x: Tensor, dim: int | None) -> int:
    return x.shape[1] if dim == 0 else x.shape[0]


def _fold(x: Tensor, dim: int | None, size: int, probes: int) -> Tensor:
    """Return (V·R, …) from V samples of R or 1 probes; what has neither axis keeps its 1."""
    if dim is None:
        return x if len(x) == 1 else x.expand(size, *x.shape).flatten(0, 1)
    x = x.movedim(dim, 0)
    return x.expand(-1, probes, *x.shape[2:]).flatten(0, 1)


def _unfold(x: Tensor | None, size: int, probes: int) -> tuple[Tensor | None, int | None]:
    if x is None or len(x) != size * probes:
        return x, None
    return x.unflatten(0, (size, probes)), 0
