"""What the training tests share: a folder of small captioned pictures and a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    SamplingDefaults,
    TextToImage,
    new_bundle,
)
from latentgeo.models.clip import TextConfig
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig

TINY = BundleConfig(
    name="tiny",
    unet=UNetConfig(
        channels=(8, 8), attention=(True, False), blocks=1, heads=2, context=6, groups=2
    ),
    vae=VAEConfig(channels=(4, 4), blocks=1, groups=2, scale=0.7),
    text=TextConfig(vocabulary=514, context=9, width=6, layers=1, heads=2),
    sampling=SamplingDefaults(size=16, steps=3, guidance=2.0),
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Compute on one thread: the networks are too small for more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eleven 16 × 16 discs on plain ground, as emoji are, with captions."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:16, :16]
    lines = []
    for i in range(11):
        draw = np.random.default_rng(i)
        disc = (x - draw.integers(5, 11)) ** 2 + (y - draw.integers(5, 11)) ** 2 < 20
        pixels = np.where(disc[..., None], draw.integers(0, 256, 3), draw.integers(0, 256, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png", "text": f"disc {i}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def tiny() -> TextToImage:
    """A model of a few thousand weights, the same each time, whose UNet's output is not zero."""
    torch.manual_seed(3)
    return new_bundle(TINY).eval()
