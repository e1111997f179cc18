"""`bench-kernels --report`: a page of what was measured, or of counts, and which it is."""

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.kernels.bench import bench_kernels
from latentgeo.eval.kernels.report import (
    A100,
    Timed,
    comparable,
    counted,
    floor,
    measured,
    narrowed,
)
from latentgeo.eval.kernels.settings import BenchKernels
from latentgeo.kernels.bench.cases import CASES
from latentgeo.kernels.bench.rows import FAILED, OK, Row

NAMES = ("attention-1024x1024-d80-h8-b1-bf16-forward", "geglu-256x10240-b1-bf16-forward")
TWO = [case for case in CASES if case.name in NAMES]


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_a_gpu_it_is_of_counts_and_says_so(no_gpu, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["bench-kernels", "--only", *NAMES, "--report", str(path)]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")
    text = path.read_text()
    assert "No kernel has been run for this page" in text and "by counts" in text
    assert text.count("<svg") == 2 and all(name in text for name in NAMES)
    assert "Measured on" not in text and "100.0%" in text


def test_what_was_measured_is_shown_and_what_failed_is_not(tmp_path):
    command = BenchKernels(
        op="geglu", shape=(1, 5, 7), out=tmp_path, seconds=1e-3, report=tmp_path / "page.html"
    )
    for _ in range(2):  # the second time of the folder's rows alone
        bench_kernels(command, device="cpu")
        text = (tmp_path / "page.html").read_text()
        assert "Measured on cpu" in text and "ms, measured" in text and "by counts" not in text
        assert text.count("<svg") == 1  # nothing has products
    rows = {(case.name, "latentgeo"): Row(case=case.name, contender="latentgeo", status=status,
            eager=seconds) for case, status, seconds in zip(TWO, (OK, FAILED), (2e-3, None),
            strict=True)}  # fmt: skip
    assert [(one.case.name, one.seconds) for one in measured(TWO, rows)] == [(TWO[0].name, 2e-3)]


def test_rows_of_a_gpu_are_shown_where_there_is_none(no_gpu, tmp_path, capsys):
    command = BenchKernels(op="geglu", shape=(1, 5, 7), out=tmp_path, seconds=1e-3)
    bench_kernels(command, device="cpu")
    words = f"--op geglu --shape 1,5,7 --out {tmp_path} --report {tmp_path / 'page.html'}"
    assert main(["bench-kernels", *words.split()]) == 0
    assert "Measured on cpu" in (tmp_path / "page.html").read_text()


def test_counts_are_the_floor_at_the_rates_of_a_machine():
    attention, gate = (next(case for case in TWO if kind in case.name) for kind in ("att", "geg"))
    assert floor(attention, A100) == max(
        attention.work.flop / 312e12, attention.work.bytes / 2.039e12
    )
    assert floor(gate, A100) == gate.work.bytes / 2.039e12
    assert [one.seconds for one in counted(TWO, A100)] == [floor(case, A100) for case in TWO]
    assert Timed(case=attention, seconds=1.0).kind == "attention"
    assert Timed(case=gate, seconds=1.0).kind == "geglu"


def test_the_page_of_the_list_is_of_one_image_in_bfloat16():
    assert all("-b1-bf16-" in case.name for case in narrowed(CASES))
    single = [case for case in CASES if "-fp32-" in case.name]
    assert narrowed(single) == single


def test_bars_are_of_the_same_sizes_in_every_order():
    kept = comparable(counted(narrowed(CASES), A100))
    sizes = {}
    for one in kept:
        if one.kind == "attention":
            sizes.setdefault(one.case.order, set()).add(one.case.operator.name)
    assert "double-backward" not in sizes and len(sizes) == 5
    assert len({frozenset(names) for names in sizes.values()}) == 1
    assert len(sizes["forward"]) == 8 and not any("h24" in name for name in sizes["jvp-backward"])
