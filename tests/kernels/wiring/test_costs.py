"""The kernels' FLOP and bytes against the counts on paper, on meta tensors."""

import pytest
import torch

from latentgeo.eval.bench.account import Variant, running
from latentgeo.eval.bench.meter import Meter
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.norms.op import group_norm

pytest.importorskip("triton")
B, H, N, M, D = 2, 3, 512, 77, 40
U = 2 * B * H * N * M * D
SMALL = 4 * B * H * N  # bytes of a number per row, in float32


@pytest.fixture(autouse=True)
def meta():
    with torch.device("meta"):
        yield


def metered(function):
    """Return the meter that has seen the function, the kernels being Triton's, and its result."""
    meter = Meter()
    with running(Variant(kernels=True), meter), meter:
        result = function()
    return meter, result


def moved(meter):
    return {name.removeprefix("attention."): size for name, size in meter.moved.items()}


def operands(*wanted):
    shapes = {"q": (B, H, N, D), "k": (B, H, M, D), "v": (B, H, M, D)}
    return [
        torch.empty(shape, dtype=torch.bfloat16, requires_grad=name in wanted)
        for name, shape in shapes.items()
    ]


def test_attention_forward_and_backward():
    """2 products forward; 7 backward, of which the keys' kernel has 4 and the queries' 3."""
    q, k, v = operands("q", "k", "v")
    meter, o = metered(lambda: attention(q, k, v))
    row, column = 2 * B * H * N * D, 2 * B * H * M * D  # bytes of a tensor like q, and like k
    assert meter.flop == 2 * U and meter.calls.total() == 1
    assert moved(meter) == {"forward": 2 * row + 2 * column + SMALL}
    meter, _ = metered(lambda: torch.autograd.grad(o, (q, k, v), torch.empty_like(o)))
    assert meter.flop == (3 + 4) * U
    sizes = moved(meter)
    assert sizes["vjp_queries"] == 4 * row + 2 * column + 2 * SMALL
    assert sizes["vjp_keys"] >= 2 * row + 4 * column + 2 * SMALL  # more if it splits the rows


@pytest.mark.parametrize(
    ("wanted", "through", "backward", "double"),
    [
        ("qkv", "qkv", 3 + 4, 5 + 7 + 8),
        ("qkv", "q", 3 + 4, 3 + 4 + 6),  # as where k and v come from text and have no tangents
        ("q", "q", 3, 3 + 4),
        ("kv", "kv", 4, 4 + 6),
    ],
)
def test_attention_differentiated_twice(wanted, through, backward, double):
    """20 products for all three: 5 of the JVP, 7 and 8 of the second derivatives."""
    given = operands(*wanted)
    inputs = [x for x in given if x.requires_grad]
    _, o = metered(lambda: attention(*given))
    u = torch.empty_like(o, requires_grad=True)
    meter, first = metered(lambda: torch.autograd.grad(o, inputs, u, create_graph=True))
    assert meter.flop == backward * U
    used = [x for x, name in zip(first, wanted, strict=True) if name in through]
    meter, _ = metered(
        lambda: torch.autograd.grad(used, [*inputs, u], [torch.empty_like(x) for x in used])
    )
    assert meter.flop == double * U


@pytest.mark.parametrize(("side", "passes"), [(8, 2), (64, 3)])
def test_a_norm_that_sums_first_writes_once(side, passes):
    """A group that fits a tile is read and written; a larger one is read twice and written once."""
    x = torch.empty(1, 320, side, side, dtype=torch.bfloat16)
    meter, _ = metered(lambda: group_norm(x, 32))
    assert meter.calls["norms.forward_kernel"] == passes - 1
    whole = 2 * x.numel()
    assert passes * whole <= meter.moved["norms.forward_kernel"] < passes * whole * 1.1
