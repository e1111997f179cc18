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
ATTENDING: Final = 0.75  # of the pairs of a row and a column, in a mask of bools
WIDER: Final = {torch.float32: torch.float64}  # the reference's dtype; of 16 bits it is float32


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Right results, of a part of the problem."""

    part: View  # takes this part from a tensor of the problem
    results: Results


def draw(case: Case, device: torch.device, seed: int = 0) -> Data:
    """Return normal numbers for a case, as they lie in memory; of a mask of bools three in four."""
    generator = torch.Generator(device).manual_seed(seed)
    operator, dtype = case.operator, case.dtype

    def normal(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        x = torch.randn(shape, generator=generator, device=device).to(dtype)
        return operator.laid(x) if len(shape) == len(operator.shapes[0]) else x

    def masked(shape: tuple[int, ...]) -> Tensor:
        if operator.mask == "additive":
            return torch.randn(shape, generator=generator, device=device).to(dtype)
        attends = torch.rand(shape, generator=generator, device=device) < ATTENDING
        attends[..., 0] = True  # a row that attends to nothing is NaN in PyTorch's attention
        return attends

    shapes = operator.shapes if operator.mask is None else operator.shapes[:-1]
    masks = () if operator.mask is None else (masked(operator.shapes[-1]),)
    return Data(
        operands=(*(normal(shape, dtype) for shape in shapes), *masks),
        cotangent=normal(operator.result, torch.float32 if operator.sums else dtype),
        tangents=tuple(normal(shape, dtype) for shape in operator.shapes[: operator.moved]),
        trained=operator.trained,
    )


def references(case: Case, data: Data) -> list[Reference]:
    """Return what the results have to be, by PyTorch's own operators in a wider dtype."""
    return [_reference(case, data, part) for part in _parts(case)]


def _reference(case: Case, data: Data, part: View) -> Reference:
    wide = WIDER.get(case.dtype, torch.float32)
    run = ORDERS[case.order](case.operator.plain, data.each(lambda x: _wider(part(x), wide)))
    return Reference(part=part, results=run())


def _wider(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.dtype == torch.bool else x.to(dtype)


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
    """Return a head of x (B, H, ...), or what all heads share where there is one of them."""
    x = x if x.shape[0] == 1 else x[b : b + 1]
    return x if x.shape[1] == 1 else x[:, h : h + 1]
