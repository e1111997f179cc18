"""The process that compiles: what it answers, and how it fails. The gates compile fastest."""

import json
from dataclasses import asdict, replace

import pytest

from latentgeo.kernels.aot import process
from latentgeo.kernels.aot.process import start
from latentgeo.kernels.aot.rows import Failure, Request, flaws

triton = pytest.importorskip("triton")
SILU = Request(arch=("sm_80",), dtype=("fp16",), head_dims=(40,), kernels=("gates.silu",))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def test_rows_come_of_compiled_kernels_also_under_the_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    report = start(replace(SILU, jobs=2))
    rows = list(report.outcomes)
    assert report.triton == triton.__version__ and report.kernels == len(rows) == 3
    assert [row.key.split(" ")[2] for row in rows] == ["gates.silu_kernel"] * 3
    for row in rows:
        assert 8 <= row.registers <= 64 and row.warps == 4 and row.programs >= 8
        assert row.mufu >= 8 and row.tensor == row.shared == 0 and not flaws(row)


def test_a_process_that_fails_says_why(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="compiling the kernels failed: it said nothing"):
        start(SILU)


def test_a_request_that_no_kernel_answers_is_refused(monkeypatch):
    first = json.dumps({"kernels": 0, "triton": "7.7"})
    monkeypatch.setattr(process, "_lines", lambda request: iter([first]))
    with pytest.raises(ValueError, match=r"there is no kernel for gates\.tanh in this report"):
        start(replace(SILU, kernels=("gates.tanh",)))


def test_failures_are_told_from_rows(monkeypatch, row):
    failure = Failure(key="a kernel", message="no registers")
    lines = [json.dumps({"kernels": 2, "triton": "7.7"})]
    lines += [json.dumps(asdict(outcome)) for outcome in (failure, row)]
    monkeypatch.setattr(process, "_lines", lambda request: iter(lines))
    assert list(start(SILU).outcomes) == [failure, row]


def test_triton_is_needed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="triton, which is not installed"):
        start(SILU)
