"""What is run: every operator in the sizes of Stable Diffusion 1.5, its orders and dtypes.

A case has a name, such as attention-4096x77-d40-h8-b1-bf16-reverse-reverse. The first of `CASES`
are those that the bars (`bars.py`) need, so that a run cut short has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import torch

from latentgeo.kernels.bench.operators import (
    Operator,
    charts,
    cross_attention,
    gates,
    group_norms,
    layer_norms,
    reductions,
    self_attention,
)
from latentgeo.kernels.bench.work import Work, work

DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
HEADS: Final = 8
TOKENS: Final = 77  # of a text
LARGER: Final = 4  # the batch beside 1
SELF: Final = ((4096, 40), (1024, 80), (256, 160), (4096, 64), (4096, 128))  # N, d
CROSS: Final = ((4096, 40), (1024, 80), (256, 160))
IMAGES: Final = ((320, 64), (960, 64), (640, 32), (1920, 32), (1280, 16))  # channels, side
ROWS: Final = ((4096, 320), (1024, 640), (256, 1280))  # tokens, channels
LATENT, FEATURES, SAMPLES = 4 * 64 * 64, 1280 * 8 * 8, 4  # numbers a sample; of h-space; samples
ATTENTION_ORDERS: Final = (
    "forward", "forward-backward", "forward-jvp", "reverse-reverse", "jvp-backward",
)  # fmt: skip
OTHER_ORDERS: Final = ("forward", "forward-backward", "reverse-reverse")


@dataclass(frozen=True, kw_only=True)
class Case:
    """An operator at one size, in one dtype, differentiated in one order."""

    operator: Operator
    dtype_name: str
    order: str

    @property
    def name(self) -> str:
        """What results, patterns and profiler ranges call it."""
        return f"{self.operator.name}-{self.dtype_name}-{self.order}"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the operands."""
        return DTYPES[self.dtype_name]

    @property
    def work(self) -> Work:
        """What one run has to do."""
        return work(self.operator, self.order, self.dtype)


def chosen(patterns: Sequence[str]) -> list[Case]:
    """Return the cases that match one of the patterns, or all without patterns.

    A pattern is a case's name, or with *, ? or [ a glob of the whole name, or else a part of it.
    Raises `ValueError` for a pattern that no case matches.
    """
    if not patterns:
        return list(CASES)
    names = {case.name for case in CASES}
    wanted: set[str] = set()
    for pattern in patterns:
        if not (found := _matches(names, pattern)):
            raise ValueError(f"no case matches {pattern!r}; --list has their names")
        wanted |= found
    return [case for case in CASES if case.name in wanted]


def _matches(names: set[str], pattern: str) -> set[str]:
    if pattern in names:
        return {pattern}
    if any(sign in pattern for sign in "*?["):
        return {name for name in names if fnmatchcase(name, pattern)}
    return {name for name in names if pattern in name}


def _cases(
    operators: Iterable[Operator], dtypes: Sequence[str], orders: Sequence[str]
) -> Iterator[Case]:
    for operator in operators:
        for dtype in dtypes:
            for order in orders:
                yield Case(operator=operator, dtype_name=dtype, order=order)


def _attentions(batch: int) -> list[Operator]:
    return [
        *(self_attention(rows, width, HEADS, batch) for rows, width in SELF),
        *(cross_attention(rows, TOKENS, width, HEADS, batch) for rows, width in CROSS),
    ]


def _norms(batch: int) -> list[Operator]:
    return [
        *(group_norms(channels, side, batch) for channels, side in IMAGES),
        *(layer_norms(rows, channels, batch) for rows, channels in ROWS),
        *(gates(rows, 4 * channels, batch) for rows, channels in ROWS),
    ]


def _for_bars() -> Iterator[Case]:
    sizes = {width: self_attention(rows, width, HEADS, 1) for rows, width in SELF}
    yield from _cases(sizes.values(), ["bf16"], ["forward"])
    yield from _cases([sizes[40]], ["bf16"], ["reverse-reverse"])
    pair = [self_attention(rows, 64, 12, 2) for rows in (2048, 32)]
    yield from _cases(pair, ["fp16"], ["forward-jvp"])
    yield from _cases([sizes[64], sizes[128]], ["bf16"], ["double-backward"])
    yield from _cases([self_attention(4096, 128, 24, 1)], ["bf16"], ["jvp-backward"])
    norms = [group_norms(320, 64, 1), layer_norms(4096, 320, 1), gates(4096, 1280, 1)]
    yield from _cases(norms, ["bf16"], ["reverse-reverse"])


def _all() -> Iterator[Case]:
    yield from _for_bars()
    yield from _cases(_attentions(1), ["bf16"], ATTENTION_ORDERS)
    yield from _cases(_norms(1), ["bf16"], OTHER_ORDERS)
    for batch in (1, LARGER):
        weights = [group_norms(320, 64, batch, True), layer_norms(4096, 320, batch, True)]
        yield from _cases(weights, ["bf16"], ["reverse-reverse"])
    summed = [*reductions(LATENT, FEATURES, SAMPLES), *charts(LATENT, SAMPLES)]
    yield from _cases(summed, ["fp32", "bf16"], ["forward", "reverse-reverse"])
    yield from _cases(_attentions(LARGER), ["bf16"], ATTENTION_ORDERS)
    yield from _cases(_norms(LARGER), ["bf16"], OTHER_ORDERS)
    yield from _cases([self_attention(4096, 64, 12, 1, True)], ["bf16"], ["reverse-reverse"])
    yield from _cases(_attentions(1), ["fp16"], ATTENTION_ORDERS)
    yield from _cases(_norms(1), ["fp16"], OTHER_ORDERS)


CASES: Final = tuple({case.name: case for case in _all()}.values())
