"""What tests of eval share: rows of walks with made-up numbers; a model's edits to measure."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from latentgeo.eval.semantic.looks import Readers, features
from latentgeo.eval.semantic.subject import Edit, Rival, Subject
from latentgeo.infer.semantic.editing import Attribute, editing_times
from latentgeo.infer.semantic.noise import invert
from latentgeo.models.bundles.delta_h import GlobalDirection, new_direction
from latentgeo.models.judges.classifier import load_classifier
from latentgeo.models.judges.judge import load_judge
from latentgeo.models.judges.segmenter import load_segmenter
from latentgeo.models.perceptual import load_lpips
from tests.models.bundles.test_image_model import CONFIGS, made

FACTOR = {"index": 1.0, "optimal": 0.8, "random": 1.1}


def rows(pairs=25, noises=2):
    """Walks whose LPIPS under a coupling is that of the index times its factor, to 1 %."""
    rng = np.random.default_rng(0)
    found = []
    for pair in range(pairs):
        base, w2 = rng.uniform(0.5, 2.0), rng.uniform(3.0, 5.0)
        for noise in range(noises):
            steps = base * np.array([0.1, 0.3, 0.2]) * (1 + noise)
            walks = {
                name: {
                    "lpips": (factor * steps * rng.uniform(0.99, 1.01)).tolist(),
                    "pixels": (2 * factor * steps).tolist(),
                    "path": factor * w2,
                }
                for name, factor in FACTOR.items()
            }
            clouds = {"padded": 0.5, "padding_cost": 0.25, "moved": 0.75, "moved_real": 0.5}
            distances = {"w2": w2, "w2_index": 1.25 * w2, "w2_gaussian": 0.5 * w2}
            found.append(
                {
                    "pair": pair,
                    "noise": noise,
                    "similarity": pair / pairs,
                    "bin": pair * 5 // pairs,
                    "couplings": walks,
                    **clouds,
                    **distances,
                }
            )
    return found


@pytest.fixture(scope="session")
def walk_rows():
    """A function that returns such rows."""
    return rows


@pytest.fixture(scope="session")
def small():
    """A model of 32 × 32 images with random weights."""
    config = CONFIGS["ddpm"]
    return made(replace(config, sampling=replace(config.sampling, size=32)))


@pytest.fixture(scope="session")
def subject(small, tiny):
    """Three images and a donor, of that model, in 3 steps."""
    generator = torch.Generator().manual_seed(0)
    images = (torch.randn(4, 3, 4, 4, generator=generator) / 2).clamp(-1, 1)
    images = torch.nn.functional.interpolate(images, size=32, mode="bilinear")
    lpips = load_lpips()
    with torch.no_grad():
        x_T = invert(small, images, editing_times(small.schedule, 3))
        readers = Readers(
            classifier=load_classifier(tiny.classifier),
            judge=load_judge(),
            lpips=lpips,
            segmenter=load_segmenter(),
            real=features(lpips, images.flip(3)),
        )
    return Subject(
        model=small,
        readers=readers,
        images=images,
        x_T=x_T,
        steps=3,
        seed=0,
        scales=(1.0, 0.0, -1.0),
        levels=(0.0, 0.5),
        lengths=(2,),
        averaged=2,
    )


@pytest.fixture(scope="session")
def shift(small, subject):
    """An edit whose Δh is one and the same for all images and times."""
    torch.manual_seed(0)
    direction = GlobalDirection(3 * torch.randn(20, 8, 8)).requires_grad_(False)
    said = ("a face", "a smiling face")
    return Edit(
        name="shift",
        attribute=Attribute(direction=direction, t_edit=400, S=3),
        t_boost=0,
        wanted={"mouth": ("smiling",)},
        texts=subject.readers.judge.texts(list(said)),
        said=said,
        hash="",
    )


@pytest.fixture(scope="session")
def own_way(small, shift):
    """An edit by an f_t, which is another for every image, with noise at the end."""
    torch.manual_seed(1)
    direction = new_direction(small)
    for weight in direction.parameters():
        torch.nn.init.normal_(weight, std=1.5)
    attribute = replace(shift.attribute, direction=direction.requires_grad_(False))
    return replace(shift, name="own way", attribute=attribute, t_boost=100)


@pytest.fixture
def tuned(small, subject):
    """A copy of the model as a rival, which is not tuned yet."""
    config = CONFIGS["ddpm"]
    copy = made(replace(config, sampling=replace(config.sampling, size=32)))
    visited = tuple(t for t in editing_times(small.schedule, 3) if t <= 700)
    with torch.no_grad():
        x = invert(small, subject.images, visited)
    subject.rivals["shift"] = Rival(model=copy, hash="", x=x, visited=visited)
    yield copy
    subject.rivals.clear()
