"""`bench-kernels` without a GPU: the skip, the list, a whole run on the CPU, and bad workers."""

import json
import sys

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.kernels import bench as kernel_bench
from latentgeo.eval.kernels.bench import NO_GPU, bench_kernels, results
from latentgeo.eval.kernels.settings import BenchKernels
from latentgeo.eval.kernels.stored import keep
from latentgeo.kernels.bench.cases import CASES
from latentgeo.kernels.bench.roofline import Roofline
from latentgeo.kernels.bench.rows import FAILED, OK, Row
from latentgeo.kernels.bench.worker import LOST

SMALLEST = "to-sphere-16384-b4-fp32-forward"
MACHINE = {"device": "x", "flop_per_second": {}, "bytes_per_second": 1.0}


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_a_gpu_it_is_one_line_and_no_failure(no_gpu, capsys, tmp_path):
    assert main(["bench-kernels", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr() == (f"{NO_GPU}\n", "")
    assert not (tmp_path / "out").exists()


def test_the_list_needs_no_gpu(no_gpu, capsys):
    assert main(["bench-kernels", "--list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [case.name for case in CASES]
    assert main(["bench-kernels", "--list", "--only", "geglu-256x", SMALLEST]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert SMALLEST in listed and len(listed) == sum("geglu-256x" in name for name in names) + 1


def test_a_pattern_without_a_case_is_one_line_and_status_2(no_gpu, capsys):
    assert main(["bench-kernels", "--only", "d41"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == (
        "latentgeo bench-kernels: no case matches 'd41'; --list has their names\n"
    )


def test_a_run_prints_its_rows_keeps_them_and_goes_on_from_them(capsys, tmp_path):
    command = BenchKernels(out=tmp_path, only=(SMALLEST,), seconds=1e-3)
    bench_kernels(command, device="cpu")
    first = capsys.readouterr().out
    assert first.startswith("cpu: ") and f"[1 of 1] {SMALLEST}: 0.0 GFLOP, 0.5 MB" in first
    lines = (tmp_path / "rows-0.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[0]["device"] == "cpu"
    assert [row["contender"] for row in rows[1:]] == ["latentgeo", "eager"]
    assert {row["status"] for row in rows[1:]} == {OK}
    assert (
        json.loads((tmp_path / "settings.json").read_text())["torch"]
        == torch.__version__.split("+")[0]
    )

    bench_kernels(command, device="cpu")
    again = capsys.readouterr().out
    assert again.startswith("2 rows are there already") and SMALLEST not in again
    assert (tmp_path / "rows-0.jsonl").read_text().splitlines() == lines


def test_rows_of_other_settings_are_not_mixed(tmp_path):
    command = BenchKernels(out=tmp_path, only=(SMALLEST,), seconds=1e-3)
    kernel_bench.finished(command, "cpu")
    other = BenchKernels(out=tmp_path, only=(SMALLEST,), seconds=2e-3)
    with pytest.raises(ValueError, match=r"other settings \(seconds\)"):
        bench_kernels(other, device="cpu")


WORKER = """
import json, os, sys, time
job = json.load(sys.stdin)
def say(**message):
    print(json.dumps(message), flush=True)
def row(case, name, status="ok"):
    say(row=dict(case=case, contender=name, status=status, eager_quartiles=None))
say(machine={"device": "x", "flop_per_second": {}, "bytes_per_second": 1.0})
for case, name in job["todo"]:
    say(at=[case, name])
    if name == "crashes":
        os._exit(7)
    if name == "hangs":
        time.sleep(600)
    if name == "loses":
        row(case, name, "FAILED")
        sys.exit(LOST)
    if name == "silent":
        sys.exit(LOST)
    row(case, name)
""".replace("LOST", str(LOST))


def run(todo, **options):
    """Return what comes of a list of keys with the worker above: rows, and how often it began."""
    worker = [sys.executable, "-c", WORKER]
    found = list(results(BenchKernels(**options), todo, "cpu", worker))
    rows = [row for row in found if isinstance(row, Row)]
    return {(r.case, r.contender): r for r in rows}, sum(isinstance(r, Roofline) for r in found)


def test_a_worker_that_dies_is_a_row_of_who_was_running_and_another_goes_on():
    rows, workers = run([("a", "x"), ("a", "crashes"), ("a", "y"), ("b", "loses"), ("b", "z")])
    assert {name: row.status for (_, name), row in rows.items()} == {
        "x": OK,
        "crashes": FAILED,
        "y": OK,
        "loses": FAILED,
        "z": OK,
    }
    assert rows["a", "crashes"].note == "the process ended with status 7" and workers == 3


def test_a_worker_that_hangs_is_given_up():
    rows, workers = run([("a", "hangs"), ("a", "x")], timeout=3.0)
    assert rows["a", "hangs"].note == "nothing was heard for 3 s" and workers == 2
    assert rows["a", "x"].status == OK


def test_a_worker_that_loses_its_gpu_without_a_row_is_not_asked_again():
    rows, workers = run([("a", "silent"), ("a", "x")])
    assert rows["a", "silent"].status == FAILED and workers == 2


def test_a_worker_that_cannot_start_is_an_error_and_no_endless_loop(tmp_path):
    worker = [sys.executable, "-c", "import sys; sys.exit('no driver')"]
    command = BenchKernels(out=tmp_path)
    with pytest.raises(RuntimeError, match=r"does not start: .* status 1; .*worker\.log"):
        list(results(command, [("a", "x")], "cpu", worker))
    assert (tmp_path / "worker.log").read_text() == "no driver\n"


def test_a_gpus_rows_are_of_that_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    kernel_bench.finished(BenchKernels(out=tmp_path), "cuda")
    assert json.loads((tmp_path / "settings.json").read_text())["device"] == "a GPU"


def test_a_folder_never_shows_the_times_of_other_sources(monkeypatch, tmp_path):
    command = BenchKernels(out=tmp_path)
    kernel_bench.finished(command, "cpu")
    keep(tmp_path, Row(case="a", contender="latentgeo", status=OK, eager=1.0))
    assert kernel_bench.finished(command, "cpu").keys() == {("a", "latentgeo")}
    monkeypatch.setattr(kernel_bench, "sources", lambda: "other")
    assert kernel_bench.finished(command, "cpu") == {}


ASKED = "bench-kernels --op attention --shape 1,8,4096,77,40 --order jvp --dtype fp32"


def test_a_case_of_your_own_is_listed(no_gpu, capsys):
    words = [*ASKED.split(), "--masked", "bool", "--layout", "tokens-first", "--list"]
    assert main(words) == 0
    assert capsys.readouterr().out.split()[0] == (
        "attention-4096x77-d40-h8-b1-bool-fp32-forward-jvp"
    )
    assert main([*ASKED.split(), "--order", "hvp", "vjp", "jvp", "--list"]) == 0
    orders = [line.split()[0].split("fp32-")[1] for line in capsys.readouterr().out.splitlines()]
    assert orders == ["forward-jvp", "reverse-reverse", "forward-backward"]


def test_a_case_of_your_own_is_run(capsys):
    command = BenchKernels(op="geglu", shape=(1, 5, 7), seconds=1e-3)
    bench_kernels(command, device="cpu")
    assert "[1 of 1] geglu-5x14-b1-bf16-forward: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--op geglu", "--op and --shape: got one of them"),
        ("--shape 1,2,3", "--op and --shape: got one of them"),
        ("--op geglu --shape 1,2,3 --only d40", "--op and --only: got both"),
        ("--op geglu --shape 1,2", "--shape: got 1,2 for geglu, wanted B,N,C, each at least 1"),
        ("--threshold -1", "--threshold must be at least 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(words, message, no_gpu, capsys):
    assert main(["bench-kernels", *words.split()]) == 2
    assert message in capsys.readouterr().err
