"""`bench-kernels --compare`: what is a difference, and when it fails."""

import json

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.kernels.stored import keep
from latentgeo.kernels.bench.rows import FAILED, OK, Row

SETTINGS = {"device": "a GPU", "seconds": 0.06, "graphs": True, "kernels": None}


def run(folder, settings=SETTINGS, **seconds):
    """Write a run: the time of ours on each case, or None for a failure; `eager_a` is a peer's."""
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, time in seconds.items():
        peer, case = name.split("_") if "_" in name else ("latentgeo", name)
        status = OK if time else FAILED
        note = "" if time else "y is off by 1"
        keep(folder, Row(case=case, contender=peer, status=status, eager=9.0, graph=time, note=note)
             if time else Row(case=case, contender=peer, status=status, note=note))  # fmt: skip
    return str(folder)


@pytest.fixture
def before(tmp_path):
    return run(tmp_path / "a", a=1.0, b=2.0, c=3.0, eager_a=4.0)


def compared(*words):
    return main(["bench-kernels", "--compare", *words])


def test_what_is_slower_is_printed_first_and_is_status_1(before, tmp_path, capsys):
    after = run(tmp_path / "b", a=1.02, b=2.2, c=2.4, eager_a=8.0)
    assert compared(before, after) == 1
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()[2:5]] == [
        ["slower", "a", "eager:"],
        ["slower", "b", "latentgeo:"],
        ["faster", "c", "latentgeo:"],
    ]
    assert "b latentgeo: 2000.0000 → 2200.0000 ms, +10.0%" in out
    assert "3 of 4 results differ by more than 3%" in out
    assert err == (
        "latentgeo bench-kernels: 1 of 4 results of latentgeo are slower by more than 3%, or have "
        "failed\n"
    )


def test_the_threshold_says_what_is_a_difference(before, tmp_path):
    after = run(tmp_path / "b", a=1.02, b=2.2, c=2.4)
    assert compared(before, after, "--threshold", "0.11") == 0
    assert compared(before, after, "--threshold", "0.01") == 1


def test_what_is_faster_or_a_peers_is_no_failure(before, tmp_path, capsys):
    assert compared(before, run(tmp_path / "b", a=0.5, eager_a=9.0)) == 0
    assert "2 results are not in after, such as b latentgeo" in capsys.readouterr().out


def test_what_fails_now_is_slower_and_what_failed_is_faster(before, tmp_path, capsys):
    broken = run(tmp_path / "b", a=1.0, b=None)
    assert compared(before, broken) == 1
    assert "slower  b latentgeo: ok → FAILED: y is off by 1" in capsys.readouterr().out
    assert compared(broken, before) == 0
    assert "faster  b latentgeo: FAILED → ok" in capsys.readouterr().out


def test_runs_that_do_not_compare_are_refused(before, tmp_path, capsys):
    other = run(tmp_path / "b", SETTINGS | {"device": "another", "graphs": False}, a=1.0)
    assert compared(before, other) == 2
    said = "--compare: the runs differ in device, a GPU and another; graphs, True and False\n"
    assert capsys.readouterr().err.endswith(said)
    assert compared(before, run(tmp_path / "c", z=1.0)) == 2
    assert "have no case in common" in capsys.readouterr().err
    assert compared(before) == 2
    assert "got 1 folders of rows, wanted 2" in capsys.readouterr().err
    assert compared(before, str(tmp_path / "none")) == 2
