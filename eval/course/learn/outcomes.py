"""What a call says: numbers, their gradients, or what it raised; and when two say the same.

Values       of tensors, numbers, words and collections of them, in their order
Gradients    the lengths of those of every leaf of a result's graph, of a weighted sum of the result
Closeness    by the largest number: rounding in another order is no difference
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MARGIN = 1 << 15  # numbers beside a copy
CLOSE = {torch.float64: 1e-7, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Said:
    """What came of a call."""

    parts: tuple[object, ...] = ()  # tensors without a graph, numbers, words
    raised: str = ""
    function: Any = None  # where a function is returned


def said(result: object) -> Said:
    """Return what a result says."""
    if callable(result):
        return Said(("a function",), function=result)
    return Said(tuple(_parts(result)))


def raised(error: Exception) -> str:
    """Return what an exception says: its type and its message, without addresses in memory."""
    return f"{type(error).__name__}: {re.sub('0x[0-9a-f]+', '', str(error))}"


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, Tensor):
        yield value.detach().clone()
        yield from _slopes(value)
    elif isinstance(value, Mapping):
        for key in value:
            yield str(key)
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        yield len(value)
        for one in value:
            yield from _parts(one)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for one in dataclasses.fields(value):
            yield from _parts(getattr(value, one.name))
    elif isinstance(value, int | float | complex | str | None):
        yield value
    else:
        yield type(value).__name__


def _slopes(value: Tensor) -> Iterator[Tensor]:
    """Yield the lengths of the gradients at the leaves, sorted."""
    if not value.requires_grad or not value.is_floating_point():
        return
    leaves = list(_leaves(value))
    weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
    slopes = torch.autograd.grad(
        (weights * value).sum(), leaves, retain_graph=True, allow_unused=True
    )
    norms = [0.0 if one is None else one.detach().double().norm().item() for one in slopes]
    yield torch.tensor(sorted(norms), dtype=value.dtype)


def _leaves(value: Tensor) -> Iterator[Tensor]:
    seen, ahead = set(), [value.grad_fn]
    if value.grad_fn is None:
        yield value
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        ahead += [child for child, _ in node.next_functions]


def same(a: Said, b: Said) -> bool:
    """Whether two calls said the same."""
    if a.raised or b.raised or len(a.parts) != len(b.parts):
        return bool(a.raised) and a.raised == b.raised
    return all(_equal(one, other) for one, other in zip(a.parts, b.parts, strict=True))


def _equal(a: object, b: object) -> bool:
    if isinstance(a, float | Tensor) and isinstance(b, float | Tensor):
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not a.is_floating_point():
            return torch.equal(a, b)
        bound = CLOSE[a.dtype]
        largest = b[b.isfinite()].abs().max().item() if b.isfinite().any() else 0.0
        return torch.allclose(a, b, rtol=bound, atol=bound * largest, equal_nan=True)
    return type(a) is type(b) and a == b


def difference(ours: Said, other: Said) -> float:
    """Return the largest difference of two calls' numbers, relative to ours; ∞ of other shapes."""
    if ours.raised or other.raised or len(ours.parts) != len(other.parts):
        return float("inf")
    found = [0.0]
    for a, b in zip(ours.parts, other.parts, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape:
            gap = (a.double() - b.double()).abs() if not a.is_complex() else (a - b).abs()
            scale = a.abs().double()
            top, unit = gap[gap.isfinite()], scale[scale.isfinite()]
            if top.numel():
                largest = unit.max().item() if unit.numel() else 0.0
                found.append(top.max().item() / (largest or 1.0))
        elif isinstance(a, int | float) and isinstance(b, int | float):
            found.append(abs(a - b) / (abs(a) or 1.0))
        else:
            found.append(float("inf"))
    return max(found)


def roomy(value: Tensor) -> Tensor:
    """Return a copy with zeros before and behind it, for kernels that read beside it."""
    dense = value.detach()
    if not dense.is_contiguous():
        return dense.clone()
    room = dense.new_zeros(dense.numel() + 2 * MARGIN)
    inside = room[MARGIN : MARGIN + dense.numel()].view(dense.shape)
    return inside.copy_(dense)


def copied(value: Any) -> Any:
    """Return arguments that may be changed: tensors and generators of their own."""
    if isinstance(value, Tensor):
        return roomy(value).requires_grad_(value.requires_grad)
    if isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(copied, value))
    if isinstance(value, list | tuple):
        return type(value)(map(copied, value))
    return value
