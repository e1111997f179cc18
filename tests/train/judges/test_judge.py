"""Training of the judge: its loss, its temperature, short captions, and an exact resume."""

import math
import random

import pytest
import torch
from torch.nn import functional as F

from latentgeo.core.contrastive import contrastive_loss
from latentgeo.core.run.main import main
from latentgeo.models.judges.small_clip import SmallClip, SmallClipConfig, load_small_clip
from latentgeo.train.data.draws import Draws
from latentgeo.train.judges.judge import PROMPTS, SEEDS, JudgeTask
from latentgeo.train.loop.log import read_log

CPU = torch.device("cpu")
SHAPE = SmallClipConfig(size=16, channels=(8, 8), projection=7)


@pytest.fixture
def task() -> JudgeTask:
    torch.manual_seed(3)
    return JudgeTask(SmallClip(SHAPE), CPU)


def batch(n: int = 5):
    draw = torch.Generator().manual_seed(2)
    images = torch.rand(n, 3, 16, 16, generator=draw) * 2 - 1
    return images, [f"disc {i}" for i in range(n)]


def plain_cosines(task, images, texts):
    """Return the cosine (B, B) of every image and text, one pair at a time."""
    seen, said = task.model.image_features(images), task.model.text_features(task.tokenizer(texts))
    pairs = [[F.cosine_similarity(a, b, dim=0).item() for b in said] for a in seen]
    return torch.tensor(pairs)


def test_loss_belongs_to_the_samples_alone(task, monkeypatch):
    """CLIP Sec. 2.3b: the same samples, the same loss; that of both encoders on what is seen.

    Captions that are not of the avatars' grammar are not shortened.
    """
    loss, terms = task.loss(batch(), Draws(0, 10, 5))
    again, _ = task.loss(batch(), Draws(0, 10, 5))
    other, _ = task.loss(batch(), Draws(0, 15, 5))
    assert loss.item() == again.item() != other.item()
    monkeypatch.setattr("latentgeo.train.judges.judge.augment", lambda images, draw: images)
    loss, terms = task.loss(batch(), Draws(0, 10, 5))
    images, texts = batch()
    plain = contrastive_loss(
        F.normalize(task.model.image_features(images), dim=1),
        F.normalize(task.model.text_features(task.tokenizer(texts)), dim=1),
        task.model.logit_scale.exp(),
    )
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    cosines = plain_cosines(task, images, texts)
    matched, of_texts = (
        sum(i == int(best) for i, best in enumerate(cosines.argmax(dim))) / 5 for dim in (1, 0)
    )
    assert matched != of_texts  # the text of each image, not the image of each text
    assert terms["matched"].item() == pytest.approx(matched)
    assert not any(term.requires_grad for term in terms.values())


def test_predictions_are_seen_in_the_place_of_images(task, monkeypatch):
    """CLIP Sec. 2.3b: of the augmented images, by the draws of the same samples."""
    monkeypatch.setattr("latentgeo.train.judges.judge.augment", lambda images, draw: images.flip(3))
    draws, given = Draws(0, 10, 5), []
    through = JudgeTask(task.model, CPU, lambda x, d: given.append((x, d)) or x.flip(3))
    found, _ = through.loss(batch(), draws)
    ((x, drawn),) = given
    assert torch.equal(x, batch()[0].flip(3)) and drawn is draws
    monkeypatch.setattr("latentgeo.train.judges.judge.augment", lambda images, draw: images)
    wanted, _ = task.loss(batch(), Draws(0, 10, 5))
    assert found.item() == wanted.item()


def test_the_smallest_seed_is_zero(task, monkeypatch):
    """CLIP Sec. 2.3: seeds begin at 0, whose prompts are of persons, as those of 1 are of faces."""
    monkeypatch.setattr("latentgeo.train.judges.judge.SEEDS", 0)
    seen, embedded = [], task.embedded
    monkeypatch.setattr(task, "embedded", lambda texts: seen.append(texts) or embedded(texts))
    task.loss(batch(), Draws(0, 10, 5))
    assert seen == [batch()[1] + task.prompts(0)]
    assert all("person" in text for text in task.prompts(0))
    assert [text.replace("person", "face") for text in task.prompts(0)] == task.prompts(1)


def test_a_batch_is_drawn_by_its_first_sample(task, monkeypatch):
    """CLIP Sec. 2.3: what is done to the images, and who the prompts are of, is by its seed; each
    caption is shortened by its own.
    """
    seeds = Draws(0, 10, 5).integers(0, SEEDS).tolist()
    assert len(set(seeds)) == 5
    seen, said, asked, prompts = [], [], [], task.prompts
    monkeypatch.setattr(
        "latentgeo.train.judges.judge.augment",
        lambda x, draw: seen.append(draw.initial_seed()) or x,
    )
    monkeypatch.setattr(
        "latentgeo.train.judges.judge.shortened",
        lambda text, draw: said.append(draw.random()) or text,
    )
    monkeypatch.setattr(task, "prompts", lambda seed: asked.append(seed) or prompts(seed))
    task.loss(batch(), Draws(0, 10, 5))
    assert seen == asked == seeds[:1]
    assert said == [random.Random(seed).random() for seed in seeds]


def test_stated_values_are_asked_for(task):
    """CLIP Sec. 2.3b: by hand, -log of the softmax over an attribute's prompts at the stated one.

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


def test_what_is_asked_for_adds_to_the_loss(task, monkeypatch):
    """CLIP Sec. 2.3b: captions that state something cost both, and the match is of the images."""
    monkeypatch.setattr("latentgeo.train.judges.judge.augment", lambda images, draw: images)
    monkeypatch.setattr("latentgeo.train.judges.judge.shortened", lambda text, draw: text)
    mouths = ("sad", "smiling", "cheeky", "serious")
    texts = [f"a {mouths[i % 4]} person with {hair}" for i, hair in enumerate(["long hair"] * 7)]
    images, _ = batch(7)
    loss, terms = task.loss((images, texts), Draws(0, 10, 7))
    seen = F.normalize(task.model.image_features(images), dim=1)
    said = F.normalize(task.model.text_features(task.tokenizer(texts)), dim=1)
    plain = contrastive_loss(seen, said, task.model.logit_scale.exp())
    assert terms["asked"] > 0.1
    assert loss.item() == pytest.approx(plain.item() + terms["asked"].item(), rel=1e-5)


def test_temperature_stays_in_its_bound(task):
    """CLIP Sec. 2.5: at most 100, and what lies below is left alone."""
    task.model.logit_scale.data.fill_(7.0)
    assert task.end_step()["scale"].item() == pytest.approx(100, rel=1e-5)
    task.model.logit_scale.data.fill_(math.log(3))
    assert task.end_step()["scale"].item() == pytest.approx(3)
    assert not task.end_step()["scale"].requires_grad


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
