"""`bench-aot`: what it prints, writes and compares, on rows that were not compiled."""

import json
from dataclasses import asdict, replace

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.kernels.settings import BenchAot
from latentgeo.kernels.aot import golden_files
from latentgeo.kernels.aot.limits import ARCHS
from latentgeo.kernels.aot.process import Report
from latentgeo.kernels.aot.rows import DTYPES, FAMILIES, HEAD_DIMS, Failure, Request, Row

ROW = Row(
    arch="sm_80",
    dtype="bf16",
    family="attention",
    kernel="jvp",
    head_dim=40,
    case="self",
    variant="",
    tile=(64, 32),
    warps=4,
    stages=2,
    registers=156,
    stack=0,
    local=0,
    loads=0,
    stores=0,
    shared=24576,
    programs=3,
    tensor=60,
    replication=1.0,
    products=5.0,
    copies=16,
    mufu=18,
    loop=249,
    ceiling=0.83,
    collapsed=False,
)
WORDS = ["bench-aot", "--arch", "sm_80", "--dtype", "bf16", "--head-dims", "40,80"]


@pytest.fixture
def outcomes(monkeypatch, tmp_path):
    """What the process would find, to be changed by a test; golden files are in tmp_path."""
    found = [ROW, replace(ROW, head_dim=80)]

    def start(request: Request) -> Report:
        assert request.head_dims == (40, 80) and request.arch == ("sm_80",)
        return Report(triton="7.7", kernels=len(found), outcomes=iter(found))

    monkeypatch.setattr("latentgeo.eval.kernels.aot.start", start)
    monkeypatch.setattr(golden_files, "FOLDER", tmp_path)
    return found


def test_without_a_golden_file_one_line_says_so(outcomes, capsys):
    assert main(WORDS) == 0
    out, err = capsys.readouterr()
    assert out.startswith("sm_80 bf16: attention") and err == ""
    assert out.splitlines()[-1].startswith("there is no golden file for Triton 7.7")


def test_a_golden_file_is_made_and_compared_with(outcomes, capsys, tmp_path):
    assert main([*WORDS, "--write-golden"]) == 0
    assert set(golden_files.read(tmp_path / "7.7.json")) == {row.key for row in outcomes}
    assert main(WORDS) == 0
    assert "2 kernels are as in 7.7.json" in capsys.readouterr().out
    outcomes[1] = replace(outcomes[1], registers=255, stores=2)
    assert main(WORDS) == 1
    out, err = capsys.readouterr()
    assert "sm_80 bf16 attention.jvp d=80 self: registers 156 → 255, stores 0 → 2" in out
    assert err.startswith("latentgeo bench-aot: not as in 7.7.json: 1 kernels;")
    assert err.count("\n") == 1
    assert main([*WORDS, "--write-golden"]) == main(WORDS) == 0


def test_kernels_that_the_golden_file_does_not_know_are_no_difference(outcomes, capsys):
    assert main([*WORDS, "--write-golden"]) == 0
    outcomes.append(replace(ROW, kernel="forward"))
    assert main(WORDS) == 0
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0] == "2 kernels are as in 7.7.json"
    assert last[1].startswith("1 kernels are not in 7.7.json")


def test_the_report_is_written_as_json(outcomes, tmp_path):
    file = tmp_path / "folder" / "report.json"
    assert main([*WORDS, "--to", str(file)]) == 0
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["kernels"] == [json.loads(json.dumps(asdict(row))) for row in outcomes]
    assert content["failures"] == [] and "triton" in content["environment"]


def test_a_kernel_that_does_not_compile_is_a_failure(outcomes, capsys, tmp_path):
    outcomes.append(Failure(key="sm_80 bf16 attention.forward", message="no registers"))
    assert main([*WORDS, "--write-golden"]) == 1
    out, err = capsys.readouterr()
    assert "sm_80 bf16 attention.forward: no registers" in out
    assert err == "latentgeo bench-aot: 1 of 3 kernels do not compile\n"
    assert not list(tmp_path.iterdir())


def test_the_command_knows_the_same_choices():
    """Its choices are written out, since importing them would import more."""
    defaults = BenchAot()
    assert (defaults.dtype, defaults.head_dims, defaults.kernels) == (DTYPES, HEAD_DIMS, FAMILIES)
    assert BenchAot(arch=tuple(ARCHS)).arch == tuple(ARCHS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--arch", "sm_70"],
            "--arch: got 'sm_70', wanted a list, each one of sm_80, sm_86, sm_89, sm_90",
        ),
        (["--kernels", "attentoin"], "kernels must be of attention, norms"),
        (["--head-dims", "40,512"], "--head-dims must be from 1 to 256, got [40, 512]"),
        (["--jobs", "0"], "jobs must be at least 1, got 0"),
    ],
)
def test_the_command_refuses_in_one_line(words, message, capsys):
    assert main(["bench-aot", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_a_dump_and_masks_are_asked_of_the_process(monkeypatch, tmp_path, capsys):
    asked = []

    def start(request: Request) -> Report:
        asked.append(request)
        return Report(triton="7.7", kernels=1, outcomes=iter([ROW]))

    monkeypatch.setattr("latentgeo.eval.kernels.aot.start", start)
    words = ["--dump", str(tmp_path), "--masked", "none,bool", "--arch", "sm_86,sm_89"]
    assert main(["bench-aot", *words]) == 0
    assert (asked[0].dump, asked[0].masks) == (str(tmp_path), ("none", "bool"))
    assert asked[0].arch == ("sm_86", "sm_89")
    assert f"sass of 1 kernels are in {tmp_path}" in capsys.readouterr().out
