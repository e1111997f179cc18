"""Linearization of a map: Jacobian products and the traces of Hutchinson's estimator, per sample.

f takes x (B, ...) to y (B, ...) without mixing samples: a denoiser at given times, the encoder of
its bottleneck. Each sample then has a Jacobian J (m, n), of m outputs in n inputs. `jacobian` forms
it; everything else needs products with J and Jᵀ alone, singular directions (`singular.py`) too.

Notation  J per sample, σ_i its singular values; R tangents (R, B, ...) go with x, R cotangents
          (R, B, ...) with y
Orders    jvp, vjp, push, pull and hutchinson keep the graph of x and of f's weights and can be
          differentiated as often as f; jacobian returns numbers without a graph
Memory    `chunk` is how many probes go through f at a time, `samples` how many samples; f is then
          called as f(x[i:j], *(tensor[i:j] for tensor in given)). None is all of them. Chunks do
          not make a graph smaller: measure under `torch.no_grad()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from latentgeo.core.precision import widened

Map = Callable[..., Tensor]  # f(x, *given): (B, ...) and tensors with a row per sample, to (B, ...)


class Estimate(NamedTuple):
    """The mean of a statistic over the probes and the standard error of that mean."""

    value: Tensor  # (B,)
    error: Tensor  # (B,), infinite for a single probe


class Traces(NamedTuple):
    """Estimates of tr(JᵀJ) = Σσ_i² and tr((JᵀJ)²) = Σσ_i⁴."""

    first: Estimate
    second: Estimate


def jvp(f: Map, x: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(x) and J ẋ, both (B, ...), from x and the tangent ẋ, both (B, ...)."""
    _check_same("tangent", tangent, x)
    found = torch.func.jvp(partial(_checked, f), (x,), (tangent,))
    return found[0], found[1]


def vjp(f: Map, x: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(x) and Jᵀu, both (B, ...), from x and the cotangent u, like f(x)."""
    check_floating(x)
    y, back = _transposed(f, x)
    _check_same("cotangent", cotangent, y)
    return y, back(cotangent)


def push(f: Map, x: Tensor, tangents: Tensor, chunk: int | None = None) -> Tensor:
    """Return J v (R, B, ...) of R tangents v (R, B, ...), which share one pass through f."""
    _check_stack("tangents", tangents, x)
    check_positive(chunk=chunk)

    def one(tangent: Tensor) -> Tensor:
        y_dot: Tensor = torch.func.jvp(partial(_checked, f), (x,), (tangent,))[1]
        return y_dot

    return torch.func.vmap(one, chunk_size=chunk)(tangents)


def pull(f: Map, x: Tensor, cotangents: Tensor, chunk: int | None = None) -> Tensor:
    """Return Jᵀu (R, B, ...) of R cotangents u (R, B, ...), which share one pass through f."""
    check_floating(x)
    check_positive(chunk=chunk)
    y, back = _transposed(f, x)
    _check_stack("cotangents", cotangents, y)
    return torch.func.vmap(back, chunk_size=chunk)(cotangents)


def _transposed(f: Map, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return f(x) and the map from u to Jᵀu, which does not run f again."""
    found = torch.func.vjp(partial(_checked, f), x)
    return found[0], lambda u: found[1](u)[0]


def probes(like: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Return R = count standard normal probes (R, B, ...) for `like` (B, ...)."""
    check_floating(like)
    check_positive(count=count)
    shape = (count, *like.shape)
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


def signs(like: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Return R = count probes (R, B, ...) of independent signs ±1 for `like` (B, ...).

    Their estimates vary less than those of normal probes, and not at all where JᵀJ is diagonal.
    """
    normal = probes(like, count, generator)
    return torch.where(normal < 0, -1.0, 1.0).to(normal)


def hutchinson(
    f: Map,
    x: Tensor,
    probes: Tensor,
    given: tuple[Tensor, ...] = (),
    chunk: int | None = None,
    samples: int | None = None,
) -> Traces:
    """Return estimates of tr(JᵀJ) and tr((JᵀJ)²), per sample, from probes v (R, B, ...).

    Iso Eq. 8   tr(A) = E vᵀAv ≃ 1/R Σ v_iᵀ A v_i for v with E vvᵀ = I (Hutchinson 1990), here with
                A = JᵀJ, ‖Jv‖², and with A = (JᵀJ)², ‖JᵀJv‖²

    The error is s/√R, with s the standard deviation over the probes, which must be independent.
    Both estimates are made of the same probes and are therefore correlated.
    """
    _check_stack("probes", probes, x)
    check_positive(chunk=chunk, samples=samples)
    found = [
        _square_norms(rows_of(f, given, part), x[part], probes[:, part], chunk)
        for part in parts(x, given, samples)
    ]
    first, second = torch.cat(found, dim=2)
    return Traces(_mean(first), _mean(second))


def _square_norms(f: Map, x: Tensor, probes: Tensor, chunk: int | None) -> Tensor:
    """Return ‖Jv‖² and ‖JᵀJv‖² (2, R, B): one pass through f for Jᵀ, one per chunk for J."""
    pulled = torch.func.vmap(_transposed(f, x)[1])
    found = []
    for some in probes.split(chunk or len(probes)):
        pushed = push(f, x, some)
        found.append(torch.stack([_square_norm(pushed), _square_norm(pulled(pushed))]))
    return torch.cat(found, dim=1)


def _square_norm(rows: Tensor) -> Tensor:
    """Return the squared length (R, B) of (R, B, ...), summed in float32 or wider."""
    return widened(rows).flatten(2).square().sum(dim=2)


def _mean(values: Tensor) -> Estimate:
    """Return the mean over R of (R, B) with its standard error."""
    count = len(values)
    if count == 1:
        return Estimate(values[0], torch.full_like(values[0], torch.inf))
    return Estimate(values.mean(dim=0), values.std(dim=0) / count**0.5)


@torch.no_grad()
def jacobian(
    f: Map,
    x: Tensor,
    given: tuple[Tensor, ...] = (),
    chunk: int | None = None,
    samples: int | None = None,
) -> Tensor:
    """Return J (B, m, n) column by column: n tangents through f, so for small n and for tests."""
    check_floating(x)
    check_positive(chunk=chunk, samples=samples)
    basis = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).reshape(-1, 1, *x.shape[1:])
    found = []
    for part in parts(x, given, samples):
        tangents = basis.expand(-1, *x[part].shape)
        columns = push(rows_of(f, given, part), x[part], tangents, chunk)
        found.append(columns.flatten(2).permute(1, 2, 0))
    return torch.cat(found)


def rows_of(f: Map, given: tuple[Tensor, ...], rows: slice | Tensor) -> Map:
    """Return f of x (B', ...) alone, for these B' rows of the batch of `given`."""
    chosen = [tensor[rows] for tensor in given]
    return lambda x: f(x, *chosen)


def parts(x: Tensor, given: tuple[Tensor, ...], samples: int | None) -> Iterator[slice]:
    """Yield the parts of the batch that go through f at a time.

    Raises ValueError for a tensor of `given` with another number of rows than x (B, ...).
    """
    for tensor in given:
        if len(tensor) != len(x):
            raise ValueError(f"given: got {len(tensor)} rows, wanted {len(x)}, one per sample of x")
    step = samples or len(x)
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def _checked(f: Map, x: Tensor) -> Tensor:
    """Return f(x) if it is a tensor with a row per sample."""
    y = f(x)
    if not isinstance(y, Tensor) or y.ndim < 1 or len(y) != len(x):
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"f: got {got}, wanted a tensor of {len(x)} rows, one per sample of x")
    return y


def check_floating(x: Tensor) -> None:
    """Raise ValueError for an x that has no derivatives or no rows."""
    if not x.is_floating_point() or x.ndim < 1 or not x.numel():
        got = f"{x.dtype} {tuple(x.shape)}"
        raise ValueError(f"x: got {got}, wanted a floating-point tensor (B, ...)")


def check_positive(**numbers: int | None) -> None:
    """Raise ValueError for a number below 1; None is a number that was not given."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")


def _check_same(name: str, tensor: Tensor, like: Tensor) -> None:
    check_floating(like)
    if tensor.shape != like.shape or tensor.dtype != like.dtype:
        got = f"{tensor.dtype} {tuple(tensor.shape)}"
        raise ValueError(f"{name}: got {got}, wanted {like.dtype} {tuple(like.shape)}")


def _check_stack(name: str, tensors: Tensor, like: Tensor) -> None:
    check_floating(like)
    fits = tensors.ndim == like.ndim + 1 and tensors.shape[1:] == like.shape and len(tensors) > 0
    if not fits or tensors.dtype != like.dtype:
        got = f"{tensors.dtype} {tuple(tensors.shape)}"
        wanted = f"{like.dtype} (R, {', '.join(map(str, like.shape))})"
        raise ValueError(f"{name}: got {got}, wanted {wanted}")
