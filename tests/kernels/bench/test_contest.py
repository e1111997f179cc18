"""Contests on the CPU: right contenders are timed, others are rows that say what went wrong."""

import pytest
import torch

from latentgeo.kernels.bench.contest import Contest, DeviceLost
from latentgeo.kernels.bench.measure import ROUNDS, HostClock
from latentgeo.kernels.bench.peers import contenders
from latentgeo.kernels.bench.rows import FAILED, OK, OUT_OF_MEMORY


def fails(*point):
    raise RuntimeError("no kernel for this")


def no_memory(*point):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 24 GiB")


def wrong(x):
    return 1.01 * x.detach() + x - x.detach()


@pytest.fixture
def contest(clock, roofline):
    return Contest(clock=clock, roofline=roofline, seconds=0.03)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("order", ["forward", "forward-backward", "reverse-reverse"])
def test_every_operator_runs_end_to_end_on_the_wall_clock(operator, order, small_case, roofline):
    case = small_case(operator, order, "bf16")
    contest = Contest(clock=HostClock(), roofline=roofline, seconds=1e-3)
    rows = list(contest.rows(case, contenders(case)))
    assert {row.contender for row in rows} == set(contenders(case))
    for row in rows:
        if row.contender in ("sdpa-cudnn", "sdpa-efficient"):  # a CPU has neither
            assert row.status == FAILED and row.note.startswith("RuntimeError: No ")
            continue
        if row.contender == "flex-attention" and order != "forward":  # nor its backward pass
            assert row.status == FAILED and row.note.startswith("NotImplementedError")
            continue
        assert row.status == OK and row.case == case.name, row
        low, high = row.eager_quartiles
        assert 0 < low <= row.eager <= high and row.repeats >= 2 * ROUNDS
        assert 0 <= row.error < 3e-2


@pytest.mark.parametrize("order", ["forward-jvp", "jvp-backward", "double-backward"])
@pytest.mark.parametrize("name", ["self", "cross"])
def test_attention_runs_in_the_orders_of_its_own(name, order, small_case, contest):
    case = small_case(name, order, "fp16")
    rows = list(contest.rows(case, contenders(case)))
    assert [row.status for row in rows] == [OK] * len(rows)


def test_a_row_has_times_work_and_the_rooflines_floor(small_case, contest):
    case = small_case("self", "forward", "bf16")
    (row,) = contest.rows(case, {"latentgeo": case.operator.ours})
    assert (row.eager, row.graph, row.peak_bytes, row.repeats) == (1e-3, None, 1000, 30)
    assert (row.flop, row.bytes) == case.work
    assert row.floor == max(case.work.flop / 2e12, case.work.bytes / 1e9)


def test_who_fails_is_a_row_and_the_others_are_timed(small_case, contest):
    case = small_case("geglu")
    right = case.operator.ours
    entered = {
        "broken": fails,
        "large": no_memory,
        "wrong": lambda x: right(wrong(x)),
        "right": right,
    }
    rows = {row.contender: row for row in contest.rows(case, entered)}
    assert {name: row.status for name, row in rows.items()} == {
        "broken": FAILED,
        "large": OUT_OF_MEMORY,
        "wrong": FAILED,
        "right": OK,
    }
    assert rows["broken"].note == "RuntimeError: no kernel for this"
    assert "in fails" in rows["broken"].traceback
    assert "y is off by" in rows["wrong"].note and rows["wrong"].error > 5e-3
    assert rows["right"].eager == 1e-3


def test_without_a_reference_nobody_is_timed_and_everybody_has_a_row(
    small_case, contest, monkeypatch
):
    monkeypatch.setattr("latentgeo.kernels.bench.contest.references", no_memory)
    case = small_case("geglu")
    rows = list(contest.rows(case, contenders(case)))
    assert [row.status for row in rows] == [OUT_OF_MEMORY] * 2
    assert rows[0].note.startswith("the reference: OutOfMemoryError")


class Flaky:
    """Right three times, for the check, the weighing and a first timed run, and then no more."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *point):
        self.calls += 1
        return self.f(*point) if self.calls <= 3 else fails()


def test_who_fails_while_it_is_timed_is_a_row_and_the_others_start_again(small_case, contest):
    case = small_case("geglu")
    entered = {"right": case.operator.ours, "flaky": Flaky(case.operator.ours)}
    rows = {row.contender: row for row in contest.rows(case, entered)}
    assert (rows["flaky"].status, rows["right"].status) == (FAILED, OK)
    assert rows["right"].repeats == 30


def test_who_is_about_to_run_is_announced(small_case, clock, roofline):
    said = []
    contest = Contest(
        clock=clock,
        roofline=roofline,
        seconds=0.03,
        graphs=False,
        announce=lambda case, name: said.append((case, name)),
    )
    case = small_case("geglu")
    list(contest.rows(case, contenders(case)))
    both = [(case.name, "latentgeo"), (case.name, "eager")]
    assert said == [both[0], *both * (2 + ROUNDS)]  # the reference, the checks, the timing


def test_a_lost_device_ends_the_contest_after_the_row_of_who_lost_it(small_case, contest, clock):
    def kills(x):
        clock.dies = True
        raise RuntimeError("an illegal memory access was encountered")

    case, rows = small_case("geglu"), []
    with pytest.raises(DeviceLost):
        for row in contest.rows(case, {"kills": kills, "right": case.operator.ours}):
            rows.append(row)
    assert [(row.contender, row.status) for row in rows] == [("kills", FAILED)]


@pytest.mark.parametrize("graphs", [True, False])
def test_graphs_are_timed_too_where_a_device_has_them(
    small_case, contest, clock, roofline, graphs, monkeypatch
):
    """The replay is another function than what is called; here it takes a tenth of the time."""
    replayed = []
    monkeypatch.setattr(clock, "captured", lambda run: lambda: replayed.append(run), raising=False)
    original = type(clock).times

    def times(run, repeats):
        before = len(replayed)
        found = original(clock, run, repeats)
        return [1e-4] * repeats if len(replayed) > before else found

    monkeypatch.setattr(clock, "times", times, raising=False)
    case = small_case("geglu")
    contest = Contest(clock=clock, roofline=roofline, seconds=0.03, graphs=graphs)
    for row in contest.rows(case, contenders(case)):
        assert row.eager == 1e-3
        assert row.graph == (1e-4 if graphs else None)
        assert row.seconds == (1e-4 if graphs else 1e-3)


@pytest.mark.parametrize("dies", [True, False])
def test_what_cannot_be_recorded_as_a_graph_has_its_eager_time(
    small_case, contest, clock, monkeypatch, dies
):
    def captured(run):
        clock.dies = dies
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(clock, "captured", captured, raising=False)
    case, rows = small_case("geglu"), []
    try:
        for row in contest.rows(case, contenders(case)):
            rows.append(row)
        assert not dies
    except DeviceLost:
        assert dies
    assert [row.status for row in rows] == [OK, OK] and rows[0].eager == 1e-3
    assert rows[0].note.startswith("no graph: RuntimeError: operation not permitted")
