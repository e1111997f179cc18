"""Rows of contenders that failed, and rows as JSON."""

import json
from dataclasses import asdict

import pytest
import torch

from latentgeo.kernels.bench.rows import (
    FAILED,
    NOTE,
    OK,
    OUT_OF_MEMORY,
    TRACEBACK,
    Row,
    WrongResult,
    failure,
    from_json,
)


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_exception_is_a_line_with_its_traceback(small_case):
    case = small_case("geglu")
    row = failure(case, "eager", raised(RuntimeError("first\nsecond" + "!" * 9000)))
    assert (row.case, row.contender, row.status) == (case.name, "eager", FAILED)
    assert row.note.startswith("RuntimeError: first second!") and len(row.note) == NOTE
    assert len(row.traceback) == TRACEBACK and row.seconds is None


def test_no_memory_is_another_status(small_case):
    error = raised(torch.OutOfMemoryError("CUDA out of memory"))
    assert failure(small_case("geglu"), "eager", error).status == OUT_OF_MEMORY


def test_a_wrong_result_keeps_its_error(small_case):
    row = failure(small_case("geglu"), "eager", raised(WrongResult("g0", 0.25, 3e-2)), "here: ")
    assert (row.status, row.error, row.error_of, row.traceback) == (FAILED, 0.25, "g0", "")
    assert row.note == "here: WrongResult: g0 is off by 2.5e-01, allowed is 3e-02"


@pytest.mark.parametrize("graph", [None, 2e-3])
def test_rows_survive_json_and_know_their_time(graph):
    row = Row(
        case="a", contender="b", status=OK, eager=3e-3, eager_quartiles=(2e-3, 5e-3), graph=graph
    )
    assert from_json(json.loads(json.dumps(asdict(row)))) == row
    assert row.seconds == (3e-3 if graph is None else graph)
    failed = Row(case="a", contender="b", status=FAILED)
    assert from_json(json.loads(json.dumps(asdict(failed)))) == failed
