"""The largest singular values of a map's Jacobian and their directions, per sample.

The columns of J need not fit in memory: subspace iteration takes products with J and Jᵀ alone.
Right vectors are the directions in which f's input moves its output furthest; left vectors are
where it moves.

Notation  J (m, n) the Jacobian of one sample of f (`linearize.py`), σ_i its singular values in
          falling order, u_i and v_i their vectors: J v_i = σ_i u_i, Jᵀ u_i = σ_i v_i
Orders    results are numbers without a graph
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from latentgeo.core.linearize import (
    Map,
    check_floating,
    check_positive,
    parts,
    pull,
    push,
    rows_of,
)
from latentgeo.core.precision import wide


class Singular(NamedTuple):
    """k singular triplets per sample, σ in falling order; the vectors are orthonormal, J v = σ u.

    J has a singular value within `residual` of each of `values`.
    """

    left: Tensor  # u (B, k, ...) like y
    values: Tensor  # σ (B, k)
    right: Tensor  # v (B, k, ...) like x
    residual: Tensor  # ‖Jᵀu - σv‖ (B, k)
    iterations: Tensor  # (B,) int64, how many each sample took


def top_singular(
    f: Map,
    x: Tensor,
    k: int = 1,
    *,
    tolerance: float = 1e-3,
    iterations: int = 100,
    extra: int = 4,
    generator: torch.Generator | None = None,
    given: tuple[Tensor, ...] = (),
    chunk: int | None = None,
    samples: int | None = None,
) -> Singular:
    """Return the k largest singular values of J and their vectors, per sample of x (B, ...).

    Subspace iteration on JᵀJ with k + extra columns and Rayleigh-Ritz: an iteration multiplies the
    error by (σ_{k+extra+1} / σ_k)² and costs a product with J and one with Jᵀ per column. A sample
    is finished when ‖Jᵀu - σv‖ ≤ tolerance σ_1 for its k triplets; 1e-5 is within reach of float32,
    0.03 of an f that computes in bfloat16. All samples start from one random subspace, and leave
    the batch as they finish, so that no result depends on the other samples. `given`, `chunk` and
    `samples` are those of `linearize.py`. Warns if a sample is not finished after `iterations`.
    Raises ValueError for a k above J's smaller side and for numbers out of their range.
    """
    check_floating(x)
    check_positive(k=k, iterations=iterations, chunk=chunk, samples=samples)
    if not tolerance > 0 or extra < 0:
        got = f"{tolerance} and {extra}"
        raise ValueError(f"tolerance must be positive and extra not negative, got {got}")
    start = _start(x, k + extra, generator)
    found = [
        _iterate(f, x[part], tuple(g[part] for g in given), start, k, tolerance, iterations, chunk)
        for part in parts(x, given, samples)
    ]
    result = Singular(*(torch.cat(column) for column in zip(*found, strict=True)))
    late = int(_unfinished(result, tolerance).sum())
    if late:
        warnings.warn(
            f"top_singular: {late} of {len(x)} samples are not at tolerance {tolerance:g} after "
            f"{iterations} iterations; the largest residual is {result.residual.max():.1e}",
            stacklevel=2,
        )
    return result


def _start(x: Tensor, columns: int, generator: torch.Generator | None) -> Tensor:
    """Return min(columns, n) orthonormal columns (n, c) for one sample of x."""
    shape = (x[0].numel(), min(columns, x[0].numel()))
    dtype = wide(x.dtype)
    return torch.linalg.qr(torch.randn(shape, generator=generator, dtype=dtype, device=x.device)).Q


@torch.no_grad()
def _iterate(
    f: Map,
    x: Tensor,
    given: tuple[Tensor, ...],
    start: Tensor,
    k: int,
    tolerance: float,
    iterations: int,
    chunk: int | None,
) -> Singular:
    """Return the triplets of all samples; each iteration takes those that are not finished."""
    todo = torch.arange(len(x), device=x.device)
    basis = start.expand(len(x), *start.shape)
    result: Singular | None = None
    for step in range(1, iterations + 1):
        found, basis = _ritz(rows_of(f, given, todo), x[todo], basis, k, chunk)
        found = found._replace(iterations=torch.full_like(todo, step))
        result = found if result is None else _with_rows(result, todo, found)
        unfinished = _unfinished(found, tolerance)
        todo, basis = todo[unfinished], basis[unfinished]
        if not len(todo):
            break
    assert result is not None
    return result


def _ritz(f: Map, x: Tensor, basis: Tensor, k: int, chunk: int | None) -> tuple[Singular, Tensor]:
    """Return the k best triplets in the span of the basis (B, n, c), and the next basis.

    J B = U Σ Qᵀ, so J V = U Σ with V = B Q holds exactly, and Jᵀ U = V Σ does at convergence.
    """
    pushed = push(f, x, _vectors(basis, x).movedim(1, 0), chunk).movedim(0, 1)  # (B, c, ...)
    outputs = pushed[0, 0].numel()
    if k > min(basis.shape[1], outputs):
        limit = min(basis.shape[1], outputs)
        raise ValueError(f"k must be at most {limit}, the smaller side of J, got {k}")
    images = pushed.flatten(2).transpose(1, 2).to(basis.dtype)  # (B, m, c)
    left, values, mixing = torch.linalg.svd(images, full_matrices=False)
    right = basis @ mixing.transpose(1, 2)  # (B, n, min(m, c))
    pulled = pull(f, x, _vectors(left, pushed[:, 0]).movedim(1, 0), chunk)  # (min(m, c), B, ...)
    back = pulled.flatten(2).permute(1, 2, 0).to(basis.dtype)  # (B, n, min(m, c))
    found = Singular(
        left=_vectors(left[..., :k], pushed[:, 0]),
        values=values[:, :k],
        right=_vectors(right[..., :k], x),
        residual=(back - right * values[:, None]).norm(dim=1)[:, :k],
        iterations=torch.empty(0),
    )
    return found, torch.linalg.qr(back).Q


def _unfinished(found: Singular, tolerance: float) -> Tensor:
    """Return which samples (B,) have a residual above the tolerance, or none at all (NaN)."""
    return ~(found.residual <= tolerance * found.values[:, :1]).all(dim=1)


def _with_rows(kept: Singular, rows: Tensor, found: Singular) -> Singular:
    """Return `kept` with the given rows (R,) replaced by those of `found`."""
    pairs = zip(kept, found, strict=True)
    return Singular(*(old.index_copy(0, rows, new) for old, new in pairs))


def _vectors(columns: Tensor, like: Tensor) -> Tensor:
    """Return columns (B, n, c) as c vectors (B, c, ...) in the shape and dtype of like (B, ...)."""
    rows = columns.transpose(1, 2).to(like.dtype)
    return rows.reshape(*rows.shape[:2], *like.shape[1:])
