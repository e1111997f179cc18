"""What is run: every operator in the sizes of Stable Diffusion 1.5, its orders and dtypes.

A case has a name, such as attention-4096x77-d40-h8-b1-bf16-reverse-reverse; attention has tokens
first in memory where the name does not say heads-first. The first of `CASES` are those that the
bars (`bars.py`) need, so that a run cut short has them. `Asked` is for any case besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import torch

from latentgeo.kernels.attention.tiles import widest
from latentgeo.kernels.bench.attentions import (
    HEADS_FIRST,
    TOKENS_FIRST,
    attention_of,
    cross_attention,
    self_attention,
)
from latentgeo.kernels.bench.operators import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    GROUPS,
    Heads,
    Operator,
    charts,
    gates,
    group_norms,
    layer_norms,
    reductions,
)
from latentgeo.kernels.bench.work import Work, work

DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
HEADS: Final = 8
TOKENS: Final = 77  # of a text
LARGER: Final = 4  # the batch beside 1
WIDEST_SINGLE: Final = widest(4)  # d, beyond which there are no kernels for float32
SELF: Final = ((4096, 40), (1024, 80), (256, 160), (4096, 64), (4096, 128))  # N, d
CROSS: Final = ((4096, 40), (1024, 80), (256, 160))
IMAGES: Final = ((320, 64), (960, 64), (640, 32), (1920, 32), (1280, 16))  # channels, side
ROWS: Final = ((4096, 320), (1024, 640), (256, 1280))  # tokens, channels
LATENT, FEATURES, SAMPLES = 4 * 64 * 64, 1280 * 8 * 8, 4  # numbers a sample; of h-space; samples
ATTENTION_ORDERS: Final = (
    "forward", "forward-backward", "forward-jvp", "reverse-reverse", "jvp-backward",
)  # fmt: skip
OTHER_ORDERS: Final = ("forward", "forward-backward", "reverse-reverse")
SHAPES: Final = {  # what can be asked for: the numbers of its shape, and its layouts
    "attention": ("B,H,N,M,d", (TOKENS_FIRST, HEADS_FIRST)),
    "group-norm-silu": ("B,C,side", (CHANNELS_FIRST, CHANNELS_LAST)),
    "layer-norm": ("B,N,C", ()),
    "geglu": ("B,N,C", ()),
    "sample-dot": ("B,n", ()),
    "sample-square-norm": ("B,n", ()),
    "to-sphere": ("B,n", ()),
    "over-sqrt-metric": ("B,n", ()),
}


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


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A case that somebody asks for: an operator of `SHAPES` at any size."""

    op: str
    shape: tuple[int, ...]
    order: str
    dtype: str
    mask: str | None = None  # bool, additive or causal
    layout: str | None = None  # None: the models' own, the first of SHAPES

    def __post_init__(self) -> None:
        """Refuse what there is no case of."""
        words, layouts = SHAPES[self.op]
        got = ",".join(map(str, self.shape))
        if len(self.shape) != len(words.split(",")) or min(self.shape) < 1:
            raise ValueError(f"shape: got {got} for {self.op}, wanted {words}, each at least 1")
        if self.op == "group-norm-silu" and self.shape[1] % GROUPS:
            raise ValueError(f"shape: got {got}, wanted channels that are a multiple of {GROUPS}")
        if self.layout is not None and self.layout not in layouts:
            wanted = " or ".join(layouts) or "none, since it has one"
            raise ValueError(f"layout: got {self.layout} for {self.op}, wanted {wanted}")
        if self.mask is not None and self.op != "attention":
            raise ValueError(f"masked: got {self.mask} for {self.op}, wanted it for attention")

    @property
    def case(self) -> Case:
        """The case."""
        return Case(operator=self._operator(), dtype_name=self.dtype, order=self.order)

    def _operator(self) -> Operator:
        layout = self.layout or (*SHAPES[self.op][1], "")[0]
        if self.op == "attention":
            batch, heads, rows, columns, width = self.shape
            size = Heads(
                batch=batch, heads=heads, rows=rows, columns=columns, width=width,
                causal=self.mask == "causal", mask=None if self.mask == "causal" else self.mask,
            )  # fmt: skip
            return attention_of(size, layout, moved=3 if rows == columns else 1)
        batch, *sizes = self.shape
        if self.op == "group-norm-silu":
            return group_norms(sizes[0], sizes[1], batch, layout=layout)
        if self.op == "layer-norm":
            return layer_norms(sizes[0], sizes[1], batch)
        if self.op == "geglu":
            return gates(sizes[0], sizes[1], batch)
        summed = [*reductions(sizes[0], sizes[0], batch)[:2], *charts(sizes[0], batch)]
        return summed[list(SHAPES).index(self.op) - list(SHAPES).index("sample-dot")]


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


def _attentions(batch: int, most: int = 256) -> list[Operator]:
    of_self, of_text = ([one for one in sizes if one[1] <= most] for sizes in (SELF, CROSS))
    return [
        *(self_attention(rows, width, HEADS, batch) for rows, width in of_self),
        *(cross_attention(rows, TOKENS, width, HEADS, batch) for rows, width in of_text),
    ]


def _masked() -> Iterator[Operator]:
    for mask in ("bool", "additive"):
        for rows, width in CROSS:
            yield self_attention(rows, width, HEADS, 1, mask=mask)
            yield cross_attention(rows, TOKENS, width, HEADS, 1, mask=mask)


def _other_layouts() -> list[Operator]:
    """Return attention with heads first, as it is published, and norms with channels last."""
    return [
        *(self_attention(rows, width, HEADS, 1, layout=HEADS_FIRST) for rows, width in SELF),
        *(group_norms(channels, side, 1, layout=CHANNELS_LAST) for channels, side in IMAGES),
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
    yield from _cases(_masked(), ["bf16"], ATTENTION_ORDERS)
    yield from _cases(_attentions(1, most=WIDEST_SINGLE), ["fp32"], ATTENTION_ORDERS)
    yield from _cases(_norms(1), ["fp32"], OTHER_ORDERS)
    yield from _cases(_other_layouts(), ["bf16"], OTHER_ORDERS)
    yield from _cases(_attentions(1), ["fp16"], ATTENTION_ORDERS)
    yield from _cases(_norms(1), ["fp16"], OTHER_ORDERS)


CASES: Final = tuple({case.name: case for case in _all()}.values())
