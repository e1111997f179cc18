"""The training loop on a linear model, whose gradients are known."""

import json
import math
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from latentgeo.train.data.draws import Draws
from latentgeo.train.loop.ema import EMA
from latentgeo.train.loop.grids import tile
from latentgeo.train.loop.log import read_log
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.settings import Training
from latentgeo.train.loop.task import Batch, Terms
from latentgeo.train.loop.watch import Watch

CPU = torch.device("cpu")


class Counting:
    """Batches 0, 1, 2, …: sample n is the vector (sin n, cos n)."""

    def __init__(self, part: int) -> None:
        self.part, self.position = part, 0

    def __next__(self) -> Batch:
        n = torch.arange(self.position, self.position + self.part, dtype=torch.float64)
        self.position += self.part
        return torch.stack([n.sin(), n.cos()], dim=1), [""] * self.part

    def state(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]

    def close(self) -> None:
        pass


class Line:
    """Fits w · x to a noise of each sample; can be told to fail or to send a signal at a step."""

    def __init__(self, nan_at: int = 0, signal_at: int = 0, number: int = signal.SIGTERM) -> None:
        self.w = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))
        self.nan_at, self.signal_at, self.number, self.steps = nan_at, signal_at, number, 0

    def parameters(self) -> dict[str, nn.Parameter]:
        return {"w": self.w}

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        x = batch[0]
        loss = (x @ self.w - draws.normal((), x)).square().mean()
        if self.steps + 1 == self.signal_at:
            os.kill(os.getpid(), self.number)
        return loss * (math.nan if self.steps + 1 == self.nan_at else 1), {"w": self.w[0].detach()}

    def end_step(self) -> Terms:
        self.steps += 1
        return {"steps": float(self.steps)}

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"]

    def sample_grid(self) -> Tensor:
        return self.w.detach().expand(5, 3, 4, 2)

    def save(self, folder: Path) -> None:
        (folder / "w.json").write_text(json.dumps(self.w.tolist()))


def settings(out: Path, **changes: Any) -> Training:
    usual = {"steps": 7, "batch": 6, "rate": 0.05, "log_every": 2, "sample_every": 3, "ema": 0.9}
    return Training(out=out, **(usual | changes))


def run(config: Training, task: Line | None = None) -> Loop:
    loop = Loop(task or Line(), Counting(config.batch // config.accumulate), config, CPU)
    loop.run()
    return loop


def test_one_step_is_adamw_on_the_clipped_gradient(tmp_path: Path) -> None:
    """AdamW's first step: decay, then every weight moves by the rate against its gradient."""
    config = settings(tmp_path, steps=1, weight_decay=0.1, warm_up=4, epsilon=1e-300)
    task = Line()
    before = task.w.detach().clone()
    loss, _ = task.loss(next(Counting(6)), Draws(config.seed, 0, 6))
    (gradient,) = torch.autograd.grad(loss, task.w)
    run(config, task)
    rate = config.rate / 4  # the first of four steps of warm-up
    expected = before * (1 - rate * 0.1) - rate * gradient.sign()
    torch.testing.assert_close(task.w.detach(), expected, rtol=1e-12, atol=0)


def test_rate_rises_then_falls_as_half_a_cosine(tmp_path: Path) -> None:
    config = settings(tmp_path, steps=24, warm_up=4, rate=2.0, schedule="cosine")
    rates = [config.rate_at(step) for step in (0, 3, 4, 14, 24)]
    assert rates == pytest.approx([0.5, 2.0, 2.0, 1.0, 0.0])
    assert replace(config, schedule="constant").rate_at(20) == 2.0


def test_parts_add_up_to_the_batch(tmp_path: Path) -> None:
    whole = run(settings(tmp_path / "whole"))
    parts = run(settings(tmp_path / "parts", accumulate=3))
    torch.testing.assert_close(whole.weights["w"], parts.weights["w"], rtol=1e-12, atol=0)


def test_draws_belong_to_the_sample() -> None:
    like, both = torch.zeros(5, 2, 3, dtype=torch.float64), Draws(7, 10, 5)
    halves = [Draws(7, 10, 2), Draws(7, 12, 3)]
    parts = [half.normal((2, 3), like) for half in halves]
    assert torch.equal(both.normal_like(like), torch.cat(parts))
    assert both.chance(0.5) == [drop for half in halves for drop in half.chance(0.5)]
    times = Draws(1, 0, 2000).integers(1, 5).bincount()
    assert times[0] == 0 and (times[1:] > 300).all() and len(times) == 6
    assert not torch.equal(
        Draws(8, 10, 5).normal((2, 3), like), Draws(7, 10, 5).normal((2, 3), like)
    )


def test_ema_is_the_weighted_sum_of_the_weights() -> None:
    """w̄ ← w̄ + (1 - d_n)(w - w̄) with d_n = min(d, (1 + n) / (10 + n)), written out."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    ema, values = EMA({"w": weight}, 0.25), [1.0, 3.0, -2.0, 5.0]
    for value in values[1:]:
        weight.data.fill_(value)
        ema.update()
    d = [2 / 11, 3 / 12, 0.25]  # the third, 4 / 13, is above the decay
    coefficients = [d[0] * d[1] * d[2], (1 - d[0]) * d[1] * d[2], (1 - d[1]) * d[2], 1 - d[2]]
    expected = sum(c * v for c, v in zip(coefficients, values, strict=True))
    with ema.swapped():
        assert weight.item() == pytest.approx(expected, rel=1e-12)
    assert weight.item() == 5.0


def test_saved_weights_are_the_average(tmp_path: Path) -> None:
    loop = run(settings(tmp_path))
    saved = json.loads((tmp_path / "w.json").read_text())
    assert saved == pytest.approx(loop.ema.average["w"].tolist())
    assert saved != pytest.approx(loop.weights["w"].tolist())


def test_log_and_samples(tmp_path: Path) -> None:
    run(settings(tmp_path))
    log = read_log(tmp_path / "log.jsonl")
    assert [record["step"] for record in log] == [2, 4, 6, 7]
    assert log[0]["steps"] == 1.5  # the mean over the two steps of the record
    names = {"loss", "w", "gradient", "rate", "images_per_second", "elapsed"}
    assert names <= set(log[0])
    samples = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert samples == [f"step-0000000{n}.png" for n in (0, 3, 6, 7)]


def test_grids_are_drawn_by_the_clock_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(settings(tmp_path / "b", steps=3, sample_every=0, sample_minutes=1e-9))
    monkeypatch.setattr(Watch, "draw_due", lambda self: True)
    run(settings(tmp_path / "a", steps=3, sample_every=1000))
    samples = sorted(path.name for path in (tmp_path / "a" / "samples").iterdir())
    assert samples == [f"step-0000000{n}.png" for n in range(4)]
    assert not (tmp_path / "b" / "samples").exists()


class Said(Line):
    """Draws of captions."""

    captions: ClassVar[list[str]] = ["a face", "an owl"]


def test_the_captions_of_a_grid_lie_beside_it(tmp_path: Path) -> None:
    run(settings(tmp_path, steps=1), Said())
    assert (tmp_path / "samples" / "captions.txt").read_text() == "a face\nan owl\n"


def test_grid_is_row_by_row() -> None:
    images = torch.arange(5.0)[:, None, None, None].expand(5, 3, 4, 2)
    grid = tile(images, columns=3, gap=1)
    assert grid.shape == (3, 9, 8)
    assert grid[0, 0, [0, 3, 6]].tolist() == [0, 1, 2] and grid[0, 5, [0, 3]].tolist() == [3, 4]


def test_pairs_stay_beside_each_other() -> None:
    """Twelve images with their reconstructions: four columns, and not five."""
    assert tile(torch.zeros(24, 3, 1, 1), gap=0).shape == (3, 6, 4)
    assert tile(torch.zeros(7, 3, 1, 1), gap=0).shape == (3, 3, 3)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the loss is nan at step 4"):
        run(settings(tmp_path), Line(nan_at=4))


def test_losses_are_read_once_per_record_where_reading_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read late, a loss that is not finite is still found, at its own step, before a checkpoint."""
    read = []
    steps = settings(tmp_path, log_every=4, sample_every=0, checkpoint_every=6)
    loop = Loop(Line(nan_at=5), Counting(6), steps, CPU)
    monkeypatch.setattr(loop, "device", torch.device("meta"))  # as the loop knows it
    read_losses = loop.taken.read_losses
    monkeypatch.setattr(
        loop.taken, "read_losses", lambda step: (read.append(step), read_losses(step))[1]
    )
    monkeypatch.setattr(loop, "_log", lambda: None)
    with pytest.raises(RuntimeError, match="the loss is nan at step 5; the last"):
        loop.run()
    assert read == [4, 6] and not loop.folder.exists()


def test_changed_settings_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(settings(tmp_path, steps=2))
    run(settings(tmp_path, rate=0.01, resume=True))
    out = capsys.readouterr().out
    assert "resuming from step 2" in out and "changed setting: rate was 0.05, is 0.01" in out


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch", 0, "batch must be at least 1, got 0"),
        ("rate", -1.0, "rate must be positive, got -1.0"),
        ("rate", math.nan, "rate must be positive, got nan"),
        ("minutes", 0.0, "minutes must be positive, got 0.0"),
        ("ema", 1.0, "ema must be at least 0 and below 1, got 1.0"),
        ("accumulate", 4, "batch must be a multiple of --accumulate 4, got 6"),
        ("seed", -1, "seed must be at least 0, got -1"),
    ],
)
def test_wrong_values_are_refused_by_name(
    tmp_path: Path, field: str, value: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, **{field: value})


def test_a_batch_that_ranks_cannot_share_is_refused(tmp_path: Path) -> None:
    assert settings(tmp_path, accumulate=3).part(2) == 1
    with pytest.raises(ValueError, match="multiple of --accumulate 1 times 4 ranks"):
        settings(tmp_path).part(4)
