"""A run that is stopped goes on where it was; one that the disk refuses goes on, too."""

import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latentgeo.train.data.draws import Draws
from latentgeo.train.loop import checkpoint
from latentgeo.train.loop.log import read_log
from latentgeo.train.loop.task import Batch, Terms
from tests.forked import forked
from tests.train.loop.test_run import Line, run, settings


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_resumably(tmp_path: Path, number: int, status: int) -> None:
    whole = run(settings(tmp_path / "whole"))
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        run(settings(tmp_path / "cut"), Line(signal_at=3, number=number))
    assert stopped.value.code == status and signal.getsignal(number) == handler
    resumed = run(settings(tmp_path / "cut", resume=True))
    assert torch.equal(whole.weights["w"], resumed.weights["w"])
    assert torch.equal(whole.ema.average["w"], resumed.ema.average["w"])
    log = read_log(tmp_path / "cut" / "log.jsonl")
    assert [record["step"] for record in log] == [2, 3, 4, 6, 7]


class SlowToShow(Line):
    """Gets a signal while it draws the grid of a step; nobody waits for the rest."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.drawn_at = step

    def sample_grid(self) -> Tensor:
        if self.steps == self.drawn_at:
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the drawing went on")
        return super().sample_grid()


@pytest.mark.parametrize("step", [0, 3])
def test_a_signal_leaves_the_grid_that_is_drawn(tmp_path: Path, step: int) -> None:
    """The step after it is completed and kept, and no weight is left in the average's place."""
    whole = run(settings(tmp_path / "whole"))
    task = SlowToShow(step)
    with pytest.raises(SystemExit) as stopped:
        run(settings(tmp_path / "cut"), task)
    assert stopped.value.code == 130 and task.steps == step + 1
    assert not (tmp_path / "cut" / "samples" / f"step-{step:08d}.png").exists()
    resumed = run(settings(tmp_path / "cut", resume=True))
    assert torch.equal(whole.weights["w"], resumed.weights["w"])
    assert torch.equal(whole.ema.average["w"], resumed.ema.average["w"])


class Hung(Line):
    """Is hung up on twice in its third step, by the shell and by the terminal."""

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        if self.steps == 2:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
        return super().loss(batch, draws)


def test_a_terminal_that_closes_hangs_up_once_or_twice_and_not_under_nohup(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(settings(tmp_path / "a"), Hung())
    assert stopped.value.code == 129 and run(settings(tmp_path / "a", resume=True)).step == 7
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(settings(tmp_path / "b"), Hung()).step == 7
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_minutes_end_the_run_resumably(tmp_path: Path) -> None:
    first = run(settings(tmp_path, minutes=1e-9))
    assert first.step == 1 and (tmp_path / "w.json").exists()
    assert run(settings(tmp_path, resume=True)).step == 7


def test_a_stopped_run_has_the_rest_of_its_minutes(tmp_path: Path) -> None:
    """After a signal; after the end of its minutes, or with others, it has all of them anew."""

    def spent(**changes: Any) -> float:
        return run(settings(tmp_path, **changes)).spent

    with pytest.raises(SystemExit):
        run(settings(tmp_path, minutes=5.0), Line(signal_at=2))
    state = checkpoint.load_newest(tmp_path / "checkpoints")
    assert state is not None and 0 < state["spent"] < 60
    assert spent(steps=3, minutes=5.0, resume=True) == state["spent"]
    assert spent(steps=3, minutes=6.0, resume=True) == 0
    run(settings(tmp_path, steps=5, minutes=1e-9, resume=True))
    assert spent(steps=6, minutes=1e-9, resume=True) == 0


def test_records_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    run(settings(tmp_path, steps=4))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 6, "loss": 0}\n{"step": 8, "lo')
    run(settings(tmp_path, resume=True))
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [2, 4, 6, 7]


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(settings(tmp_path, steps=2))
    with pytest.raises(ValueError, match="holds a run; add --resume"):
        run(settings(tmp_path))


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, the one before kept, the next one tried; the last one has to succeed."""
    write, fails = torch.save, [4, 5]

    def full(state: Any, file: Any) -> None:
        if state["step"] in fails:
            raise OSError(28, "No space left on device")
        write(state, file)

    monkeypatch.setattr(torch, "save", full)
    config = settings(tmp_path, steps=6, checkpoint_every=1, keep=9)
    run(config)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == [f"step-{n:08d}" for n in (1, 2, 3, 6)]
    lines = [line for line in capsys.readouterr().err.splitlines() if "No space" in line]
    assert [line[:7] for line in lines] == ["step 4:", "step 5:"]
    assert all("untouched; training goes on" in line.replace("'", "") for line in lines)
    fails.append(7)
    with pytest.raises(OSError, match="No space left"):
        run(replace(config, steps=7, resume=True))
    assert (tmp_path / "checkpoints" / "step-00000006").is_dir()
    assert run(replace(config, steps=6, resume=True)).step == 6


class Growing(Line):
    """Has a state of 800 kB at step 2, and little before and after."""

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "big": torch.zeros(200_000 if self.steps == 2 else 1)}


def run_growing(out: Path) -> None:
    """Train in a process whose files may hold 300 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    run(settings(out, steps=4, checkpoint_every=1, keep=9), Growing())


@pytest.mark.skipif(sys.platform != "linux", reason="limits the file size as Linux does")
def test_a_checkpoint_that_the_system_refuses_in_mid_write_costs_no_run(tmp_path: Path) -> None:
    """torch.save makes a RuntimeError of its own of a failed write; what is half written goes."""
    code = "from tests.train.loop.test_run_stops import *; run_growing(Path(sys.argv[1]))"
    done = forked(code, str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("step ")]
    assert len(lines) == 1 and lines[0].startswith("step 2: ")
    assert lines[0].endswith("state.pt: File too large; training goes on")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [f"step-{n:08d}" for n in (1, 3, 4)]
