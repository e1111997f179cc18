"""FLOP and bytes against a meter that sees the kernels launched, on meta tensors."""

import math

import pytest
import torch

from latentgeo.eval.bench.account import Variant, running
from latentgeo.eval.bench.meter import Meter
from latentgeo.kernels.bench.attentions import cross_attention, self_attention
from latentgeo.kernels.bench.operators import (
    charts,
    gates,
    layer_norms,
    reductions,
)
from latentgeo.kernels.bench.orders import ORDERS, Data
from latentgeo.kernels.bench.work import Work, work

pytest.importorskip("triton")
B, H, N, M, D = 2, 3, 512, 77, 40
U, UX = 2 * B * H * N * N * D, 2 * B * H * N * M * D
ROW, COLUMN = 2 * B * H * N * D, 2 * B * H * M * D  # bytes of a tensor like q, and like k
SELF, CROSS = self_attention(N, D, H, B), cross_attention(N, M, D, H, B)
BF16 = torch.bfloat16


def metered(operator, order):
    """Return the meter that has seen one run of an order on Triton's kernels."""
    meter = Meter()
    with torch.device("meta"), running(Variant(kernels=True), Meter()):
        empty = [torch.empty(shape, dtype=BF16) for shape in operator.shapes]
        data = Data(
            operands=tuple(empty),
            cotangent=torch.empty(operator.result, dtype=BF16),
            tangents=tuple(torch.empty_like(x) for x in empty[: operator.moved]),
            trained=operator.trained,
        )
        run = ORDERS[order](operator.ours, data)
    with torch.device("meta"), running(Variant(kernels=True), meter), meter:
        run()
    return meter


@pytest.mark.parametrize("order", ORDERS)
def test_flop_of_attention_are_what_the_kernels_do(order):
    assert work(SELF, order, BF16).flop == metered(SELF, order).flop


@pytest.mark.parametrize("order", ORDERS)
def test_flop_of_cross_attention_leave_out_what_nobody_asked_for(order):
    """The inner backward pass needs no dk and dv, through which no tangent goes."""
    assert work(CROSS, order, BF16).flop == metered(CROSS, order).flop


def test_flop_by_hand():
    """2 forward, 7 backward, and 20 for the double backward: 5 + 15."""
    assert work(SELF, "forward-backward", BF16).flop == (2 + 7) * U
    assert work(SELF, "reverse-reverse", BF16).flop == (2 + 7 + 20) * U
    assert work(CROSS, "forward-jvp", BF16).flop == (2 + 3) * UX
    causal = self_attention(N, D, H, B, causal=True)
    assert work(causal, "forward", BF16).flop * 2 * N == 2 * U * (N + 1)


def test_bytes_of_attention():
    """The kernel moves no more than the ideal and the logarithms that derivatives reuse."""
    meter = metered(CROSS, "forward")
    assert work(CROSS, "forward", BF16).bytes == 2 * ROW + 2 * COLUMN
    assert sum(meter.moved.values()) == 2 * ROW + 2 * COLUMN + 4 * B * H * N
    assert work(SELF, "reverse-reverse", BF16).bytes == 32 * ROW
    assert work(CROSS, "forward-jvp", BF16).bytes == 4 * ROW + 2 * COLUMN
    assert work(CROSS, "jvp-backward", BF16).bytes == 14 * ROW + 8 * COLUMN


@pytest.mark.parametrize(
    ("operator", "forward", "backward", "double"),
    [
        (layer_norms(1024, 320, 2), 2, 3, 5),
        (gates(1024, 320, 2), 1.5, 2.5, 4),
        (reductions(4096, 8192, 3)[0], 2, 4, 6),
        (reductions(4096, 8192, 3)[1], 1, 2, 3),
        (charts(4096, 3)[0], 2, 3, 5),
        (charts(4096, 3)[1], 3, 5, 8),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_bytes_of_the_others_in_sizes_of_their_input(operator, forward, backward, double):
    whole = 2 * math.prod(operator.shapes[0])  # weights and results of sums are next to nothing

    def sizes(order):
        return pytest.approx(work(operator, order, BF16).bytes / whole, rel=2e-2)

    assert forward == sizes("forward")
    assert forward + backward == sizes("forward-backward")
    assert forward + backward + double == sizes("reverse-reverse")
    assert double == sizes("double-backward")


def test_bytes_of_a_norm_are_what_its_kernels_move():
    """A row of 320 numbers fits on chip: nothing is read twice, but statistics are kept."""
    operator = layer_norms(1024, 320, 2)
    moved = sum(metered(operator, "forward").moved.values())
    statistics = 2 * 1024 * 2 * 4
    assert moved - statistics == pytest.approx(work(operator, "forward", BF16).bytes, rel=1e-2)


@pytest.mark.parametrize(("mask", "each"), [("bool", 1), ("additive", 2)])
def test_a_mask_is_read_once_per_pass(mask, each):
    masked = cross_attention(N, M, D, H, B, mask=mask)
    for order, passes in (("forward", 1), ("forward-backward", 2), ("reverse-reverse", 4)):
        more = work(masked, order, BF16).bytes - work(CROSS, order, BF16).bytes
        assert more == passes * each * N * M
        assert work(masked, order, BF16).flop == work(CROSS, order, BF16).flop


def test_the_floor_is_the_slower_of_products_and_bytes():
    given = Work(flop=6_000, bytes=100)
    assert given.floor(1_000, 50) == 6
    assert given.floor(1_000, 10) == 10
    assert given.floor(None, 50) == 2
