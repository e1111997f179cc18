"""Files that stand for a reader's own, by the names that the pages have for them."""

import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from latentgeo.models.bundles.image_model import new_image_model, save_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.formats.convert import convert
from tests.models.bundles.test_image_model import CONFIGS, made

SD = Path("sd15.safetensors")  # a tiny model in Stable Diffusion's layout
LORA = Path("smooth_lora.safetensors")  # an adapter of it
CLASSES = Path("classes")  # a model of classes, without text
SHARDS = 128  # of README's laion/{00000..00127}.tar
SIZE = 32  # pixels a side of what MODEL draws


def write_stand_ins(folder: Path, model: Path) -> None:
    """Write models, images and settings; `model` is a folder of a tiny text-to-image model."""
    convert(model, folder / SD)
    shutil.copy(model / LORA, folder)
    save_image_model(made(CONFIGS["adm"]), folder / CLASSES)
    write_pixel_model(folder / "MODEL")
    attributes = '[smile]\nsource = "face"\ntarget = "smiling face"\n'
    (folder / "attributes.toml").write_text(attributes)
    write_images(folder)


def write_pixel_model(folder: Path) -> None:
    """Write a model without text, with random weights."""
    config = TRAINED_PRESETS["tiny"]
    config = replace(config, sampling=replace(config.sampling, size=SIZE))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_image_model(new_image_model(config), folder)


def write_images(folder: Path) -> None:
    """Write a picture, a folder of captioned ones, and shards, all of which are one file."""
    pixels = torch.randint(256, (40, 37, 3), generator=torch.Generator().manual_seed(0))
    picture, captioned = folder / "face.png", folder / "my-captioned-images"
    Image.fromarray(pixels.to(torch.uint8).numpy()).save(picture)
    captioned.mkdir()
    for i, text in enumerate(("a face", "another face")):
        shutil.copy(picture, captioned / f"{i}.png")
        (captioned / f"{i}.txt").write_text(text)
    (folder / "laion").mkdir()
    first, *others = [folder / "laion" / f"{i:05}.tar" for i in range(SHARDS)]
    members = {"0.png": picture.read_bytes(), "0.txt": b"a face", "0.json": b'{"aesthetic": 6.7}'}
    with tarfile.open(first, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    for shard in others:
        shard.symlink_to(first.name)
