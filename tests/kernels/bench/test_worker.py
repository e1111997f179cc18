"""The worker process on the CPU, with the smallest of the cases."""

import json
import subprocess
import sys

import pytest

from latentgeo.kernels.bench.rows import OK, from_json
from tests.forked import forked

CASE = "attention-32x32-d64-h12-b2-fp16-forward-jvp"
OTHER = "to-sphere-16384-b4-fp32-forward"
TODO = [[CASE, "latentgeo"], [CASE, "sdpa-math"], [OTHER, "eager"]]


def given(**job):
    return json.dumps({"todo": TODO, "seconds": 1e-3, "device": "cpu", **job})


def heard(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def said(**job):
    code = "import sys; from latentgeo.kernels.bench.worker import main; sys.exit(main())"
    return heard(forked(code, stdin=given(**job)))


@pytest.fixture(scope="module")
def messages():
    """What the process says that is started as benches start it."""
    words = [sys.executable, "-W", "ignore", "-m", "latentgeo.kernels.bench.worker"]
    return heard(subprocess.run(words, input=given(), capture_output=True, text=True, timeout=120))


def test_it_says_what_it_runs_on_and_then_what_it_found(messages):
    assert messages[0]["machine"]["device"] == "cpu"
    rows = [from_json(message["row"]) for message in messages if "row" in message]
    assert [[row.case, row.contender] for row in rows] == TODO
    assert all(row.status == OK and row.eager > 0 for row in rows)


def test_it_says_before_each_who_is_about_to_run(messages):
    running = None
    for message in messages[1:]:
        running = message.get("at", running)
        assert "row" not in message or running[0] == message["row"]["case"]
    assert next(message["at"] for message in messages if "at" in message) == TODO[0]


def test_traces_take_the_place_of_times(tmp_path):
    rows = [
        message["row"]
        for message in said(profile=str(tmp_path), todo=TODO[2:])[1:]
        if "row" in message
    ]
    assert [row["eager"] for row in rows] == [None]
    assert [path.name for path in tmp_path.iterdir()] == [f"{OTHER}.json"]


def test_a_case_that_is_not_of_the_list_is_run_too():
    asked = {"op": "geglu", "shape": [1, 5, 7], "order": "forward", "dtype": "fp32"}
    name = "geglu-5x14-b1-fp32-forward"
    (row,) = (
        message["row"]
        for message in said(asked=[asked], todo=[[name, "latentgeo"]])
        if "row" in message
    )
    assert row["case"] == name and row["status"] == OK
