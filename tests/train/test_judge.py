"""Training of the judge: its loss, its temperature, short captions, and an exact resume."""

import math

import pytest
import torch
from torch.nn import functional as F

from latentgeo.core.contrastive import contrastive_loss
from latentgeo.eval.main import main
from latentgeo.models.small_clip import SmallClip, SmallClipConfig, load_small_clip
from latentgeo.train.draws import Draws
from latentgeo.train.judge import PROMPTS, JudgeTask
from latentgeo.train.log import read_log

CPU = torch.device("cpu")
SHAPE = SmallClipConfig(size=16, channels=(8, 8), projection=7)


@pytest.fixture
def task() -> JudgeTask:
    torch.manual_seed(0)
    return JudgeTask(SmallClip(SHAPE), CPU)


def batch(n: int = 5):
    draw = torch.Generator().manual_seed(2)
    images = torch.rand(n, 3, 16, 16, generator=draw) * 2 - 1
    return images, [f"disc {i}" for i in range(n)]


def test_loss_belongs_to_the_samples_alone(task, monkeypatch):
    """CLIP Sec. 2.3: the same samples, the same loss; that of both encoders on what is seen.

    Captions that are not of the avatars' grammar are not shortened.
    """
    loss, terms = task.loss(batch(), Draws(0, 10, 5))
    again, _ = task.loss(batch(), Draws(0, 10, 5))
    other, _ = task.loss(batch(), Draws(0, 15, 5))
    assert loss.item() == again.item() != other.item()
    monkeypatch.setattr("latentgeo.train.judge.augment", lambda images, draw: images)
    loss, terms = task.loss(batch(), Draws(0, 10, 5))
    images, texts = batch()
    plain = contrastive_loss(
        F.normalize(task.model.image_features(images), dim=1),
        F.normalize(task.model.text_features(task.tokenizer(texts)), dim=1),
        task.model.logit_scale.exp(),
    )
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    assert 0 <= terms["matched"] <= 1


def test_stated_values_are_asked_for(task):
    """CLIP Sec. 2.3: by hand, -log of the softmax over an attribute's prompts at the stated one.

    A mouth is stated twice, hair once; what no caption states costs nothing.
    """
    captions = ["a sad person", "a smiling person with long hair", "a disc"]
    images = F.normalize(torch.randn(3, 7), dim=1)
    told = F.normalize(torch.randn(sum(map(len, PROMPTS.values())), 7), dim=1)
    places = [(name, value) for name, texts in PROMPTS.items() for value in texts]

    def surprise(image, name, value):
        own = [i for i, (other, _) in enumerate(places) if other == name]
        weights = (3.0 * told[own] @ image).exp()
        return -(weights[[places[i][1] for i in own].index(value)] / weights.sum()).log()

    mouths = surprise(images[0], "mouth", "sad") + surprise(images[1], "mouth", "smiling")
    wanted = mouths / 2 + surprise(images[1], "hair", "long")
    torch.testing.assert_close(task.asked(images, told, torch.tensor(3.0), captions), wanted)


def test_temperature_stays_in_its_bound(task):
    """CLIP Sec. 2.5: at most 100, and what lies below is left alone."""
    task.model.logit_scale.data.fill_(7.0)
    assert task.end_step()["scale"].item() == pytest.approx(100, rel=1e-5)
    task.model.logit_scale.data.fill_(math.log(3))
    assert task.end_step()["scale"].item() == pytest.approx(3)


def words(out, pictures, steps, *more):
    how = ["--data", str(pictures), "--size", "16", "--batch", "8", "--warm-up", "1"]
    return ["train-judge", "--out", str(out), "--steps", str(steps), *how, *more]


def test_run_learns_and_resumes_to_the_bit(tmp_path, pictures):
    """Six steps in one go and in two; the discs are told apart better at the end."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    shared = ["--schedule", "constant", "--log-every", "1"]
    assert main(words(whole, pictures, 6, *shared)) == 0
    assert main(words(parts, pictures, 3, *shared)) == 0
    assert main(words(parts, pictures, 6, *shared, "--resume")) == 0
    a, b = (load_small_clip(folder / "judge.safetensors").state_dict() for folder in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    losses = [row["loss"] for row in read_log(whole / "log.jsonl")]
    assert len(losses) == 6 and losses[-1] < losses[0]


def test_wrong_values_are_one_line(tmp_path, pictures, capsys):
    assert main(words(tmp_path / "x", pictures, 2, "--batch", "1")) == 2
    assert "wanted 2 or more" in capsys.readouterr().err
