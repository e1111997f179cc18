"""The attribute classifier: it can learn, its file says what it is, and wrong files are refused."""

import json

import pytest
import torch

from latentgeo.models.judges.classifier import (
    AttributeClassifier,
    ClassifierConfig,
    load_classifier,
)
from latentgeo.models.judges.headed import write_headed
from latentgeo.train.data.draws import Draws
from latentgeo.train.judges.classifier import ClassifierTask, accuracy

CONFIG = ClassifierConfig(
    size=16,
    channels=(4, 8),
    groups=2,
    attributes={"hair": ("no", "long"), "hair_colour": ("red", "blue", "none")},
)


def faces(n=48):
    """Images whose brightness is the hair, and whose redness is its colour."""
    draw = torch.Generator().manual_seed(0)
    images, labels = 0.1 * torch.randn(n, 3, 16, 16, generator=draw), []
    for i in range(n):
        long, red = i % 2, (i // 2) % 2
        images[i] += 0.6 * long - 0.3
        images[i, 0] += 0.5 * red - 0.25
        colour = "red" if red else "blue"
        labels.append({"hair": ("no", "long")[long], "hair_colour": colour if long else "none"})
    return images, labels


def test_it_learns_what_it_can_see():
    images, labels = faces()
    torch.manual_seed(0)
    model = AttributeClassifier(CONFIG)
    task, texts = ClassifierTask(model, torch.device("cpu")), [json.dumps(row) for row in labels]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(60):
        chosen = torch.randperm(len(images))[:24].tolist()
        batch = images[chosen], [texts[i] for i in chosen]
        loss, _ = task.loss(batch, Draws(0, 24 * step, 24))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = accuracy(model.eval(), images, labels)
    assert found["hair"] == 1.0 and found["hair_colour"] > 0.9


def test_file_round_trip_in_half_precision(tmp_path):
    torch.manual_seed(0)
    model = AttributeClassifier(CONFIG).eval()
    path = write_headed(model, tmp_path / "c.safetensors", torch.float16)
    loaded = load_classifier(path)
    assert loaded.config == CONFIG and not loaded.training
    images, _ = faces(5)
    for name, logits in model(images).items():
        torch.testing.assert_close(loaded(images)[name], logits, rtol=0, atol=5e-3)
    assert loaded.read(images, batch=2) == loaded.read(images, batch=5)
    assert loaded.read(images)[0].keys() == CONFIG.attributes.keys()


def test_wrong_images_and_shapes_are_refused():
    with pytest.raises(ValueError, match=r"wanted \(B, 3, 16, 16\)"):
        AttributeClassifier(CONFIG)(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="multiple of 16"):
        ClassifierConfig(size=40)
    with pytest.raises(ValueError, match="groups"):
        ClassifierConfig(channels=(6,))


def test_missing_and_wrong_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        load_classifier(tmp_path / "missing.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ValueError, match="not an attribute classifier"):
        load_classifier(tmp_path / "bad.safetensors")
