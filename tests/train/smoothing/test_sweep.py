"""A sweep: which runs it is made of, that it goes on where it stopped, and its summary."""

import json
from pathlib import Path
from typing import Any

import pytest

from latentgeo.core.run.main import main
from latentgeo.models.bundles.text_to_image import TextToImage, save_bundle
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.train.smoothing import sweep as sweeping
from latentgeo.train.smoothing.settings import SweepSmooth, TrainSmooth
from latentgeo.train.smoothing.sweep import runs_of


def test_the_papers_tables_are_the_default(tmp_path: Path) -> None:
    """Smooth Tab. 3, Smooth Tab. 4: λ at rank 8, ranks at λ = 1, the common run once."""
    runs = runs_of(SweepSmooth(out=tmp_path, full_unet=True, seed=7))
    made = [(run.reg_weight, run.rank, run.adapter) for run in runs]
    lora = [(0.1, 8), (1.0, 8), (10.0, 8), (1.0, 4), (1.0, 16)]
    assert made == [*((*pair, "lora") for pair in lora), (1.0, 8, "full")]
    assert [run.out.name for run in runs][-2:] == ["lambda-1_rank-16", "lambda-1_full"]
    assert all(type(run) is TrainSmooth and run.seed == 7 and run.steps == 30_000 for run in runs)


@pytest.fixture
def words(tmp_path: Path, pictures: Path, tiny: TextToImage) -> list[str]:
    save_bundle(tiny, tmp_path / "model")
    text = f"sweep-smooth --model {tmp_path}/model --data {pictures} --out {tmp_path}/sweep"
    text += " --steps 2 --batch 4 --accumulate 1 --samples 1 --log-every 1 --sample-every 0"
    return [*text.split(), "--device", "cpu", "--rank", "2", "--ranks", "2", "3"]


def summary(tmp_path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["runs"]
    return rows


def test_a_sweep_trains_each_once(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished is passed over, what is not is gone on with; weights are where rows say."""
    assert main([*words, "--reg-weights", "1", "--full-unet"]) == 0
    rows = summary(tmp_path)
    assert [row["rank"] for row in rows] == [2, 3, None] and all(row["finished"] for row in rows)
    for row in rows:
        assert row["loss"] == pytest.approx(row["base"] + row["reg"], rel=1e-4) and row["n"] == 1
        assert row["steps"] == 2 and row["failed"] is None
    load_text_to_image(tmp_path / "sweep" / "lambda-1_full")
    trained: list[str] = []
    monkeypatch.setattr(sweeping, "train", lambda run: trained.append(run.out.name))
    assert main([*words, "--reg-weights", "1", "5", "--full-unet"]) == 0
    assert trained == ["lambda-5_rank-2"]
    assert [row["finished"] for row in summary(tmp_path)] == [True, False, True, True]


def test_other_settings_are_another_sweep(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--reg-weights", "1", "--ranks", "2"]) == 0
    assert main([*words, "--reg-weights", "1", "--rate", "0.5"]) == 2
    assert "rate: " in (error := capsys.readouterr().err) and "lambda-1_rank-2" in error


def test_a_run_that_fails_is_said_and_ends_no_sweep(
    tmp_path: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def diverging(run: TrainSmooth) -> None:
        if run.reg_weight == 9:
            raise RuntimeError("the loss is nan at step 1")

    monkeypatch.setattr(sweeping, "train", diverging)
    assert main([*words, "--reg-weights", "9", "1"]) == 1
    assert "1 of 3 runs failed: lambda-9_rank-2" in capsys.readouterr().err
    failures = [row["failed"] for row in summary(tmp_path)]
    assert failures == ["the loss is nan at step 1", None, None]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--reg-weights -1", "--reg-weights must be finite and at least 0"),
        ("--ranks 0", "ranks must be at least 1"),
        ("--adapter full", "a sweep trains new LoRAs"),
    ],
)
def test_wrong_values_are_refused(
    more: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep-smooth", "--out", "o", *more.split()]) == 2
    assert message in capsys.readouterr().err
