"""Held-out images and captions: the embedded set, other zips, and what is refused."""

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.eval.metrics.heldout import Captioned, captioned, read_captions
from latentgeo.models.judges.captions import parse_caption


def test_the_embedded_halves_are_apart_and_parse():
    held, other = captioned(), captioned(split="train")
    assert len(held) >= 500 and not set(held.names) & set(other.names)
    assert sum(bool(parse_caption(text)) for text in held.captions) > 0.95 * len(held)
    image = held.chosen(1, 0).images(64)
    assert image.shape == (1, 3, 64, 64) and -1 <= image.min() < image.max() <= 1


def test_a_draw_is_the_start_of_a_larger_draw(tiny):
    data = captioned(tiny.data)
    assert data.chosen(9, 3).names[:4] == data.chosen(4, 3).names
    assert len(set(data.chosen(12, 3).names)) == 12
    assert data.chosen(9, 3) != data.chosen(9, 4)
    with pytest.raises(ValueError, match=r"1\.\.12"):
        data.chosen(13, 0)


def test_images_are_those_of_the_captions(tiny):
    data = captioned(tiny.data)
    assert torch.equal(data.chosen(3, 1).images(32)[0], data.images(32)[index(data, 1)])


def test_images_of_any_depth_are_named_or_their_twins(tmp_path):
    """Read as in training: grey of 16 bits, and a cut-out on white."""
    levels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    hidden = Image.merge("LA", (Image.new("L", (8, 8), 7), Image.new("L", (8, 8), 0)))
    images = {
        "deep.png": Image.fromarray(levels.astype(np.uint16) * 257),
        "cut.png": hidden,
    }
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, image in images.items():
            with archive.open(name, "w") as file:
                image.save(file, "PNG")
        archive.writestr("text.png", "no picture")
    deep, cut = Captioned(tmp_path / "a.zip", ("deep.png", "cut.png"), ("", "")).images(8)
    assert torch.equal(deep, torch.from_numpy(levels).expand(3, 8, 8) / 127.5 - 1)
    assert (cut == 1).all()
    with pytest.raises(ValueError, match=r"text\.png: not a supported image"):
        Captioned(tmp_path / "a.zip", ("text.png",), ("",)).images(8)


def test_a_name_spelled_in_two_ways_is_one(tmp_path):
    """In the zip as a Mac writes it (NFD), in the metadata as people type it (NFC)."""
    row = {"file_name": "caf\u00e9.png", "text": "a cup", "split": "test"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with archive.open("cafe\u0301.png", "w") as file:
            Image.new("RGB", (8, 8), "white").save(file, "PNG")
        archive.writestr("metadata.jsonl", json.dumps(row))
    assert (captioned(tmp_path / "a.zip").images(8) == 1).all()


def index(data, seed):
    return data.names.index(data.chosen(1, seed).names[0])


def test_captions_from_a_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("one\n\n two \nthree\n", encoding="utf-8")
    assert sorted(read_captions(path, None, 3, 0)) == ["one", "three", "two"]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        captioned(tmp_path / "missing.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("other.txt", "")
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        archive.writestr("metadata.jsonl", '{"file_name": "a.png"}\n')
    for name in ("text.zip", "empty.zip", "rows.zip"):
        with pytest.raises(ValueError, match=name):
            captioned(tmp_path / name)
