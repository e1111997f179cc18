"""The operators of latentgeo.kernels called as Stable Diffusion 1.5 calls them, in every order.

The tensors are on PyTorch's meta device: they have shapes and no data, and nothing is computed, but
every kernel is launched that a GPU would be asked for (`launches.py`).

Orders   y, its vjp as a function, and the derivative of that in all operands, as in the losses:
         forward, vjp, jvp and hvp
Shapes   of latents of 64 × 64; batch 4, since a kernel for a batch of 1 is one for that alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final

import torch
from torch import Tensor

from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.attention.tiles import widest
from latentgeo.kernels.chart import op as chart
from latentgeo.kernels.gates import op as gates
from latentgeo.kernels.norms import op as norms
from latentgeo.kernels.reductions import op as reductions

DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
CROSSING = (40, 80, 160)  # head dims of Stable Diffusion 1.5, whose queries also attend to text
BATCH, HEADS, GROUPS = 4, 8, 32
TEXT = 77  # tokens of a caption
ROWS = {40: 4096, 80: 1024, 160: 256}  # tokens of an image at each of its head dims; else 1024
MAPS = (  # of features: channels, side, and whether channels are last in memory
    (320, 64, False),  # summed in tiles, as most are
    (320, 64, True),
    (1280, 8, False),  # where a group fits one tile
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One operator on operands of one shape, in all its orders."""

    family: str
    case: str  # what tells it from other calls of the family
    dtype: str
    head_dim: int | None
    run: Callable[[], None]


def calls(
    dtypes: Sequence[str], head_dims: Sequence[int], masks: Sequence[str] = ("none",)
) -> Iterator[Call]:
    """Yield the calls of all operators in these dtypes; of attention for these d and masks."""
    others = {"norms": _norms, "gates": _gates, "reductions": _reductions, "chart": _chart}
    for dtype in dtypes:
        yield from _attention(dtype, head_dims, masks)
        for family, named in others.items():
            for case, run in named(DTYPES[dtype]):
                yield Call(family=family, case=case, dtype=dtype, head_dim=None, run=run)


Named = Iterator[tuple[str, Callable[[], None]]]


def _attention(dtype: str, head_dims: Sequence[int], masks: Sequence[str]) -> Iterator[Call]:
    """Yield self-attention, and attention to a caption's tokens, in float32 where it has tiles."""
    kind = DTYPES[dtype]
    for d in (d for d in head_dims if d <= widest(kind.itemsize)):
        cases = {"self": ROWS.get(d, 1024)} | ({"text": TEXT} if d in CROSSING else {})
        for (case, columns), mask in product(cases.items(), masks):
            run = partial(_attend, kind, d, columns, mask, constant_context=case == "text")
            named = case if mask == "none" else f"{case} {mask}"
            yield Call(family="attention", case=named, dtype=dtype, head_dim=d, run=run)


def _attend(dtype: torch.dtype, d: int, columns: int, mask: str, constant_context: bool) -> None:
    """Attend to `columns` tokens; of a constant context the first derivative in q alone is used."""
    rows = ROWS.get(d, 1024)
    q, k, v = (
        _operand(BATCH, length, HEADS, d, dtype=dtype).transpose(1, 2)
        for length in (rows, columns, columns)
    )
    kinds = {"bool": torch.bool, "additive": dtype}
    given = None
    if mask in kinds:
        given = torch.empty(1, 1, rows, columns, dtype=kinds[mask], device="meta")
    op = partial(attention, mask=given, causal=mask == "causal")
    in_every_order(op, (q, k, v), first=1 if constant_context else 3)


def _norms(dtype: torch.dtype) -> Named:
    """Yield group norms of each kind of row, and the layer norms."""
    for channels, side, last in MAPS:
        for name in ("group_norm", "group_norm_silu"):
            case = f"{name} of {channels} × {side}²" + ", channels last" * last
            yield case, partial(_group_norm, name, dtype, channels, side, last)
    for channels in (320, 640, 1280):
        yield f"layer_norm of {channels}", partial(_layer_norm, dtype, channels)


def _group_norm(name: str, dtype: torch.dtype, channels: int, side: int, last: bool) -> None:
    x = _operand(BATCH, channels, side, side, dtype=dtype, last=last)
    weights = _pair(channels, dtype=dtype)
    norm = getattr(norms, name)
    in_every_order(lambda x, *weights: norm(x, GROUPS, *weights), (x, *weights), first=1)


def _layer_norm(dtype: torch.dtype, channels: int) -> None:
    operands = _operand(BATCH, 1024, channels, dtype=dtype), *_pair(channels, dtype=dtype)
    in_every_order(norms.layer_norm, operands, first=1)


def _gates(dtype: torch.dtype) -> Named:
    features = BATCH, 320, 64, 64
    yield "silu", lambda: in_every_order(gates.silu, [_operand(*features, dtype=dtype)])
    wide = BATCH, 4096, 2560
    yield "geglu", lambda: in_every_order(gates.geglu, [_operand(*wide, dtype=dtype)])


def _reductions(dtype: torch.dtype) -> Named:
    """Yield the reductions of latents, and of feature maps at the bottleneck."""
    for shape in (BATCH, 4, 64, 64), (BATCH, 1280, 8, 8):
        size = f"{shape[1]} × {shape[2]}²"
        two = partial(_pair, *shape, dtype=dtype)
        yield f"sample_dot of {size}", partial(_reduce, reductions.sample_dot, two)
        yield f"trace_ratio of {size}", partial(_reduce, reductions.trace_ratio, two)
        one = partial(_one, *shape, dtype=dtype)
        square_norm = reductions.sample_square_norm
        yield f"sample_square_norm of {size}", partial(_reduce, square_norm, one)


def _reduce(op: Callable[..., Tensor], operands: Callable[[], Sequence[Tensor]]) -> None:
    in_every_order(op, operands())


def _chart(dtype: torch.dtype) -> Named:
    """Yield the maps of latents on their sphere."""
    plane, radius = (BATCH, 4 * 64 * 64 - 1), 128.0
    yield (
        "to_sphere",
        lambda: in_every_order(
            lambda z: chart.to_sphere(z, radius), [_operand(*plane, dtype=dtype)]
        ),
    )
    for name in ("times_metric", "over_sqrt_metric", "over_metric"):
        scale = getattr(chart, name)
        yield name, partial(_scale, scale, plane, dtype, radius)


def _scale(
    scale: Callable[..., Tensor], shape: tuple[int, int], dtype: torch.dtype, radius: float
) -> None:
    in_every_order(lambda v, z: scale(v, z, radius), _pair(*shape, dtype=dtype))


def in_every_order(
    op: Callable[..., Tensor], operands: Sequence[Tensor], first: int | None = None
) -> None:
    """Run y = op(operands), its vjp in the `first` operands, and the vjp of both in all of them."""
    y = op(*operands)
    u = torch.empty_like(y).requires_grad_()
    grads = torch.autograd.grad(y, operands[:first], u, create_graph=True)
    outputs = *grads, y
    tangents = [torch.empty_like(output) for output in outputs]
    torch.autograd.grad(outputs, (*operands, u), tangents, allow_unused=True)


def _operand(*shape: int, dtype: torch.dtype, last: bool = False) -> Tensor:
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.empty(shape, dtype=dtype, device="meta", memory_format=layout)
    return x.requires_grad_()


def _one(*shape: int, dtype: torch.dtype) -> Sequence[Tensor]:
    return [_operand(*shape, dtype=dtype)]


def _pair(*shape: int, dtype: torch.dtype) -> Sequence[Tensor]:
    return [_operand(*shape, dtype=dtype), _operand(*shape, dtype=dtype)]
