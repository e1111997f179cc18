"""What the tests share: a tiny model with random weights, its adapter, data and a classifier.

Also how they run: a process for each core, of one thread, since their tensors are too small for
more, and threads that wait for each other crawl on a busy machine.
"""

import io
import json
import os
import random
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, which reads it when it is imported

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.sampling.loading import load_model
from latentgeo.models.bundles.presets import TEXT_PRESETS, UNET_PRESETS, VAE_PRESETS
from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    SamplingDefaults,
    TextToImage,
    new_bundle,
    save_bundle,
)
from latentgeo.models.judges.captions import caption, draw, draw_stated
from latentgeo.models.judges.classifier import (
    AttributeClassifier,
    ClassifierConfig,
)
from latentgeo.models.judges.headed import write_headed
from latentgeo.models.lora import adapter as lora
from tests.recorder import pytest_runtest_call  # noqa: F401 - a hook

SIZE = 32  # pixels a side; AlexNet takes no less than 31
FACES = 24  # of which half are held out
CORES = len(os.sched_getaffinity(0))
WORKERS = 8  # at most: each takes a gigabyte


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share folders of tests among the cores; run files, and what is given an -n, as they are."""
    option, worker = config.option, hasattr(config, "workerinput")
    if worker or option.usepdb or not config.pluginmanager.hasplugin("xdist"):
        return
    folders = any(Path(word).is_dir() for word in config.args)
    if folders and option.numprocesses is None and option.dist == "no":
        option.numprocesses, option.dist = min(CORES, WORKERS), "worksteal"


@dataclass(frozen=True)
class Tiny:
    """Files of a tiny text-to-image model and of what it is judged by."""

    model: Path  # folder of the bundle
    data: Path  # zip of captioned images
    classifier: Path

    @property
    def smooth(self) -> str:
        """The model with its adapter, as commands name it."""
        return f"{self.model}+smooth_lora"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A model of 32 × 32 images that is sampled in 2 steps; its pictures mean nothing."""
    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_model(folder / "model")
        config = ClassifierConfig(size=SIZE, channels=(8, 8), groups=4)
        classifier = AttributeClassifier(config).eval()
        write_headed(classifier, folder / "classifier.safetensors", torch.float32)
    write_faces(folder / "faces.zip")
    return Tiny(folder / "model", folder / "faces.zip", folder / "classifier.safetensors")


@pytest.fixture(scope="module")
def bundle(tiny: Tiny) -> TextToImage:
    """The tiny model, loaded: one for each file of tests."""
    return load_model(str(tiny.model), "cpu")


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """A function that does what Ctrl-C does, also in a background job, which ignores that."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(os.kill, os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, usual)


def write_model(folder: Path) -> None:
    """Write the bundle, and beside it adapters that change its images."""
    sampling = SamplingDefaults(size=SIZE, steps=2, guidance=2.0)
    config = BundleConfig(
        name="tiny",
        unet=UNET_PRESETS["tiny"],
        vae=VAE_PRESETS["tiny"],
        text=replace(TEXT_PRESETS["tiny"], context=77),
        sampling=sampling,
    )
    bundle = new_bundle(config).eval()
    save_bundle(bundle, folder)
    lora.attach(bundle.unet, rank=2)
    for parameter in lora.lora_parameters(bundle.unet):
        torch.nn.init.normal_(parameter, std=0.3)
    lora.save_lora(folder / "smooth_lora.safetensors", bundle.unet)


def write_faces(path: Path) -> None:
    """Write a zip of noise pictures with captions of the avatars' grammar."""
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(FACES):
            rng = random.Random(i)
            values = draw(rng)
            pixels = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            archive.writestr(f"{i}.png", buffer.getvalue())
            text = caption(values, draw_stated(values, rng))
            split = "train" if i < FACES // 2 else "test"
            row = {"file_name": f"{i}.png", "text": text, "attributes": values, "split": split}
            rows.append(json.dumps(row))
        archive.writestr("metadata.jsonl", "\n".join(rows))
