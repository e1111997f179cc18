"""The meter against counts by hand: launches, bytes, FLOP, and memory over time."""

import pytest
import torch

from latentgeo.eval.bench.meter import Meter
from latentgeo.kernels.wiring.costs import Cost

FLOAT = 4  # bytes


@pytest.fixture(autouse=True)
def meta():
    with torch.device("meta"):
        yield


def metered(function, *tensors):
    """Return the meter that has seen the function run on these tensors."""
    with Meter() as meter:
        meter.kept = function(*tensors)
    return meter


def counts(meter):
    return sum(meter.calls.values()), sum(meter.moved.values())


@pytest.mark.parametrize(
    ("function", "launches", "elements"),
    [
        (lambda x, y: x * y, 1, 3 * 35),
        (lambda x, y: x.exp().log(), 2, 4 * 35),
        (lambda x, y: x.t().unsqueeze(0).flatten()[2:].detach(), 1, 2 * 35),  # flatten copies
        (lambda x, y: x.t()[1:].unsqueeze(0).expand(9, -1, -1).detach(), 0, 0),
        (lambda x, y: x.contiguous(), 0, 0),
        (lambda x, y: x.add_(y), 1, 3 * 35),
        (lambda x, y: x.copy_(y), 1, 2 * 35),
        (lambda x, y: x.zero_(), 1, 35),
        (lambda x, y: torch.empty_like(x), 0, 0),
        (lambda x, y: torch.zeros_like(x), 1, 2 * 35),  # it is not told that x is not read
        (lambda x, y: x * y[:1].expand(5, -1), 1, 2 * 35 + 7),
        (lambda x, y: x.sum(), 1, 35 + 1),
        (lambda x, y: x.split(2)[1] + 1, 1, 2 * 14),
    ],
)
def test_launches_and_bytes(function, launches, elements):
    meter = metered(function, torch.empty(5, 7), torch.empty(5, 7))
    assert counts(meter) == (launches, elements * FLOAT)
    assert meter.flop == 0


def test_bytes_are_those_of_the_dtype():
    meter = metered(lambda x: x.double(), torch.empty(11, dtype=torch.bfloat16))
    assert counts(meter) == (1, 11 * (2 + 8))


def test_names_add_up():
    meter = metered(lambda x: (x.exp() + x).exp(), torch.empty(13))
    assert meter.calls == {"exp": 2, "add": 1}
    assert meter.moved == {"exp": 4 * 13 * FLOAT, "add": 3 * 13 * FLOAT}


def test_flop_of_products_and_convolutions():
    """2 m n k; 2 · taps · channels · outputs; and twice that for the backward of each."""
    a, b = torch.empty(3, 5, requires_grad=True), torch.empty(5, 7, requires_grad=True)
    assert metered(lambda a, b: a @ b, a, b).flop == 2 * 3 * 5 * 7
    assert metered(lambda a, b: (a @ b).sum().backward(), a, b).flop == 3 * 2 * 3 * 5 * 7
    image, weight = torch.empty(2, 3, 11, 13), torch.empty(5, 3, 3, 3)
    convolved = metered(lambda x, w: torch.conv2d(x, w, padding=1), image, weight)
    assert convolved.flop == 2 * 9 * 3 * 5 * 2 * 11 * 13


def test_memory_is_what_is_referenced():
    x = torch.empty(1000)
    with Meter() as meter:
        y = x.exp()
        assert (meter.live, meter.peak) == (4000, 4000)
        z = y.log()
        view = z[10:].unsqueeze(0)
        del y, z
        assert (meter.live, meter.peak) == (4000, 8000)
        del view
        assert (meter.live, meter.peak) == (0, 8000)
        torch.empty(3000)
        assert (meter.live, meter.peak) == (0, 12000)


def test_what_a_graph_holds_is_live_until_it_is_run():
    x = torch.empty(1000, requires_grad=True)
    with Meter() as meter:
        total = x.exp().sum()  # the graph keeps exp(x) alone
        assert meter.live == 4000 + FLOAT
        total.backward()
        del total
        assert meter.live == 4000  # the gradient


def test_what_was_there_before_is_not_counted_even_if_it_is_viewed():
    weight = torch.empty(7, 1000)
    meter = metered(lambda x: (weight.t(), weight.add_(1), x @ weight), torch.empty(5, 7))
    assert meter.live == 5 * 1000 * FLOAT


def test_results_are_not_changed():
    """On real tensors the meter looks on."""
    x = torch.arange(35.0, device="cpu").reshape(5, 7)
    meter = metered(lambda x: x @ x.t(), x)
    assert torch.equal(meter.kept, x @ x.t())
    assert counts(meter) == (1, (2 * 35 + 25) * FLOAT)


def launch(costs):
    """Launch a Triton kernel three times under a meter that records."""
    triton = pytest.importorskip("triton")

    @triton.jit
    def add_kernel(x, y, out, n, STAGE, BLOCK=64):
        raise AssertionError("it ran")

    x, out = torch.empty(1000), torch.empty(1000)
    with Meter() as meter, meter.recording(costs):
        add_kernel[(16,)](x, x, out, 1000, STAGE=0)
        add_kernel[(16,)](x, None, out, 1000, STAGE=1, BLOCK=32)
        add_kernel[(16,)](x, y=x, out=out, n=1000, STAGE=1)
    return meter


def test_launches_of_kernels_are_recorded():
    """Each is one launch that moves the tensors it is given, and is not made."""
    meter = launch({})
    assert meter.calls == {"bench.add_kernel": 3}
    assert counts(meter) == (3, (3 + 2 + 3) * 4000)
    assert (meter.flop, meter.live) == (0, 0)


def test_a_kernels_cost_is_asked_with_its_arguments():
    cost = Cost(
        untouched=lambda given: ("out", "y") if given["STAGE"] == 1 else (),
        flop=lambda given: given["n"] * (given["y"] is not None),
    )
    meter = launch({"bench.add_kernel": cost, "bench.another": Cost(flop=lambda _: 1)})
    assert counts(meter) == (3, (3 + 1 + 1) * 4000)
    assert meter.flop == 2 * 1000


def test_kernels_are_launched_again_after_the_block():
    triton = pytest.importorskip("triton")
    before = triton.runtime.jit.KernelInterface.__getitem__
    launch({})
    assert triton.runtime.jit.KernelInterface.__getitem__ is before
