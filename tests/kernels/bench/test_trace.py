"""Traces: a file per case in which every contender's runs have a range by name."""

import json

import pytest

from latentgeo.kernels.bench.contest import Contest
from latentgeo.kernels.bench.peers import contenders
from latentgeo.kernels.bench.rows import FAILED, OK
from latentgeo.kernels.bench.trace import RUNS, trace


@pytest.fixture
def contest(clock, roofline):
    return Contest(clock=clock, roofline=roofline, seconds=0.03)


def fails(*point):
    raise RuntimeError("no kernel for this")


def test_a_trace_has_a_range_per_contender_around_its_backward_passes(
    small_case, contest, clock, tmp_path
):
    case = small_case("geglu", "forward-backward")
    entered = {**contenders(case), "broken": fails}
    rows = {row.contender: row for row in trace(contest, case, entered, tmp_path / "new")}
    path = tmp_path / "new" / f"{case.name}.json"
    assert {name: row.status for name, row in rows.items()} == {
        "latentgeo": OK,
        "eager": OK,
        "broken": FAILED,
    }
    assert rows["eager"].note == str(path) and rows["eager"].seconds is None
    assert not clock.runs  # nothing was timed
    events = json.loads(path.read_text())["traceEvents"]
    (range_,) = [e for e in events if e.get("name") == f"{case.name} eager" and e["ph"] == "X"]
    gelu = [e for e in events if e.get("name") == "aten::gelu_backward"]
    end = range_["ts"] + range_["dur"]
    within = [e for e in gelu if range_["ts"] <= e["ts"] < end]
    assert len(within) == RUNS and len(gelu) > RUNS  # ours is made of it too
    assert {e["tid"] for e in within} == {range_["tid"]}


def test_a_trace_that_cannot_be_written_is_a_row(small_case, contest, tmp_path):
    case = small_case("geglu")
    (tmp_path / "file").write_text("")
    rows = list(trace(contest, case, contenders(case), tmp_path / "file"))
    assert [row.status for row in rows] == [FAILED, FAILED]
    assert rows[0].note.startswith("the trace: FileExistsError")
