"""The GPU's clock: cold runs, memory at the peak, graphs of every order, and a whole contest."""

import pytest
import torch

from latentgeo.kernels.bench.contest import Contest
from latentgeo.kernels.bench.measure import CudaClock
from latentgeo.kernels.bench.orders import ORDERS
from latentgeo.kernels.bench.peers import contenders
from latentgeo.kernels.bench.roofline import measure_roofline
from latentgeo.kernels.bench.rows import OK

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]
MEGABYTE = 1 << 20


@pytest.fixture
def clock():
    before = torch.cuda.current_stream()
    yield CudaClock()
    torch.cuda.set_stream(before)


def test_longer_runs_take_longer(clock):
    x = torch.randn(1024, 1024, device="cuda")

    def product(count):
        for _ in range(count):
            x @ x

    clock.times(lambda: product(10), 3)
    short, long = (sum(clock.times(lambda n=n: product(n), 5)) for n in (10, 200))
    assert 0 < short < long


def test_the_peak_is_what_was_allocated_meanwhile(clock):
    def run():
        x = torch.empty(64 * MEGABYTE, dtype=torch.int8, device="cuda")
        del x
        return torch.empty(8 * MEGABYTE, dtype=torch.int8, device="cuda")

    for _ in range(2):
        assert clock.peak(run) == pytest.approx(64 * MEGABYTE, rel=0.05)


def test_a_graph_computes_again_what_was_recorded(clock):
    x, y = torch.ones(5, device="cuda"), torch.zeros(5, device="cuda")

    def run():
        y.copy_(2 * x)

    run()
    replay = clock.captured(run)
    x.fill_(3)
    replay()
    assert clock.alive() and y.eq(6).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["self", "cross"])
def test_attention_is_timed_in_every_order_also_as_a_graph(name, order, clock, small_case):
    case = small_case(name, order, "fp16")
    roofline = measure_roofline(clock, side=1024, copied=64 * MEGABYTE)
    contest = Contest(clock=clock, roofline=roofline, seconds=0.01)
    for row in contest.rows(case, contenders(case)):
        assert row.status == OK and not row.note, row
        assert 0 < row.graph and row.peak_bytes > 0


def test_every_operator_is_timed(operator, clock, small_case):
    case = small_case(operator, "reverse-reverse", "bf16")
    roofline = measure_roofline(clock, side=1024, copied=64 * MEGABYTE)
    contest = Contest(clock=clock, roofline=roofline, seconds=0.01)
    assert {row.status for row in contest.rows(case, contenders(case))} == {OK}
