"""Whether a contender's results are right: against plain PyTorch on the same numbers, widened.

Attention is checked on its first and its last head, which are as independent as samples are, so
that the reference needs little memory; everything else as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.orders import ORDERS, Data, Results

View = Callable[[Tensor], Tensor]
# ‖result - reference‖ / ‖reference‖ beyond which a result is wrong
BARS: Final = {torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float32: 2e-5}
WIDER: Final = {torch.float32: torch.float64}  # the reference's dtype; of 16 bits it is float32


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Right results, of a part of the problem."""

    part: View  # takes this part from a tensor of the problem
    results: Results


def draw(case: Case, device: torch.device, seed: int = 0) -> Data:
    """Return normal numbers for a case."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    operator, dtype = case.operator, case.dtype
    return Data(
        operands=tuple(normal(shape, dtype) for shape in operator.shapes),
        cotangent=normal(operator.result, torch.float32 if operator.sums else dtype),
        tangents=tuple(normal(shape, dtype) for shape in operator.shapes[: operator.moved]),
        trained=operator.trained,
    )


def references(case: Case, data: Data) -> list[Reference]:
    """Return what the results have to be, by PyTorch's own operators in a wider dtype."""
    return [_reference(case, data, part) for part in _parts(case)]


def _reference(case: Case, data: Data, part: View) -> Reference:
    wide = WIDER.get(case.dtype, torch.float32)
    run = ORDERS[case.order](case.operator.plain, data.each(lambda x: part(x).to(wide)))
    return Reference(part=part, results=run())


def largest_error(found: Results, wanted: list[Reference]) -> tuple[float, str]:
    """Return the largest relative error ‖a - b‖ / ‖b‖ of all results, and which has it.

    It is NaN for a result with numbers that are not finite. Raises `ValueError` for results that
    are not those wanted, or of other shapes.
    """
    errors: list[tuple[float, str]] = []
    for reference in wanted:
        if found.keys() != reference.results.keys():
            raise ValueError(f"got {sorted(found)}, wanted {sorted(reference.results)}")
        for name, b in reference.results.items():
            errors.append((_error(name, reference.part(found[name]), b), name))
    return max(errors, key=lambda entry: math.inf if math.isnan(entry[0]) else entry[0])


def _error(name: str, a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        raise ValueError(f"{name}: got {tuple(a.shape)}, wanted {tuple(b.shape)}")
    difference, size = (a.to(b.dtype) - b).norm().item(), b.norm().item()
    if not math.isfinite(difference) or not math.isfinite(size):
        return math.nan
    return difference / size if size else math.inf if difference else 0.0


def _parts(case: Case) -> list[View]:
    size = case.operator.attention
    if size is None:
        return [lambda x: x]
    ends = {(0, 0), (size.batch - 1, size.heads - 1)}
    return [partial(_head, b, h) for b, h in sorted(ends)]


def _head(b: int, h: int, x: Tensor) -> Tensor:
    return x[b : b + 1, h : h + 1]
