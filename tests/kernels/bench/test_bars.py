"""Bars: what is read from rows, and whether that is enough."""

import pytest

from latentgeo.kernels.bench.bars import BARS, Bar
from latentgeo.kernels.bench.cases import CASES
from latentgeo.kernels.bench.peers import contenders
from latentgeo.kernels.bench.rows import FAILED, OK, Row


def rows(**seconds):
    """Return rows of one case by contender; a peak of a megabyte for every second."""
    return {
        ("c", name): Row(
            case="c", contender=name, status=OK, eager=9.0, graph=s, peak_bytes=int(s * 1e6)
        )
        for name, s in seconds.items()
    }


def bar(what, limit, peer=None):
    return Bar(tag="G0", case="c", peer=peer, what=what, limit=limit)


@pytest.mark.parametrize(
    ("given", "measured", "met"),
    [
        (bar("speed", 2, "eager"), 3, True),  # ours takes a third of its time
        (bar("speed", 3, "eager"), 3, True),
        (bar("speed", 3.1, "eager"), 3, False),
        (bar("memory", 3, "eager"), 3, True),
        (bar("memory", 4, "eager"), 3, False),
        (bar("ms", 2000, None), 2000, True),
        (bar("ms", 1999, None), 2000, False),
        (bar("MB", 2, None), 2, True),
        (bar("MB", 1.9, None), 2, False),
    ],
)
def test_a_bar_is_met_or_not_by_the_kernels_times(given, measured, met):
    found = rows(latentgeo=2.0, eager=6.0)
    assert given.measured(found) == pytest.approx(measured)
    assert given.line(found).endswith(", met" if met else ", NOT met")


def test_what_was_not_measured_is_neither():
    found = rows(latentgeo=2.0)
    assert bar("speed", 2, "flash-hob").line(found).endswith(": flash-hob: not run")
    assert bar("ms", 2).line({}).endswith(": not run")
    found["c", "latentgeo"] = Row(case="c", contender="latentgeo", status=FAILED)
    assert bar("ms", 2).line(found).endswith(": FAILED")
    found = rows(latentgeo=2.0) | {("c", "eager"): Row(case="c", contender="eager", status=FAILED)}
    assert bar("speed", 2, "eager").line(found).endswith(": eager: FAILED")
    no_memory = {("c", "latentgeo"): Row(case="c", contender="latentgeo", status=OK, eager=1.0)}
    assert bar("MB", 2).line(no_memory).endswith(": not measured")


def test_every_bar_is_of_a_case_and_a_peer_that_runs_it():
    cases = {case.name: case for case in CASES}
    absent = {"flash-hob", "jvp-flash-attention"}  # the one never installs, the other may not
    for each in BARS:
        assert each.peer is None or each.peer in {*contenders(cases[each.case]), *absent}, each
    assert {each.tag for each in BARS} == {"G1", "G2", "G3", "G4", "G5", "G7"}
