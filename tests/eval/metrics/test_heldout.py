"""Held-out images and captions: the embedded set, other zips, and what is refused."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.eval.metrics.heldout import at_hand, captioned, data_of, drawn_captions
from latentgeo.models.judges.captions import parse_caption
from latentgeo.models.zoo.places import ZOO
from latentgeo.train.cache_writer import write_cache
from latentgeo.train.settings import Cache
from tests.train.data.test_stream import make_folder, make_shards


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
    with pytest.raises(ValueError, match=r"must lie in 1\.\.12 .*, got 13"):
        data.chosen(13, 0)


def test_images_are_those_of_the_captions(tiny):
    data = captioned(tiny.data)
    assert torch.equal(data.chosen(3, 1).images(32)[0], data.images(32)[index(data, 1)])


def test_images_of_any_depth_are_named_or_their_twins(tmp_path):
    """Read as in training: grey of 16 bits, a cut-out on white, the middle of what is no square."""
    levels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    hidden = Image.merge("LA", (Image.new("L", (8, 8), 7), Image.new("L", (8, 8), 0)))
    images = {
        "deep.png": Image.fromarray(levels.astype(np.uint16) * 257),
        "cut.png": hidden,
        "wide.png": Image.fromarray(np.pad(levels, ((0, 0), (2, 2)))),
    }
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, image in images.items():
            with archive.open(name, "w") as file:
                image.save(file, "PNG")
        archive.writestr("text.png", "no picture")
        rows = [{"file_name": name, "text": "a", "split": "test"} for name in images]
        rows.append({"file_name": "text.png", "text": "a", "split": "train"})
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
    deep, cut, wide = captioned(tmp_path / "a.zip").images(8)
    assert torch.equal(deep, torch.from_numpy(levels).expand(3, 8, 8) / 127.5 - 1)
    assert (cut == 1).all() and torch.equal(wide, deep)
    with pytest.raises(ValueError, match=r"text\.png: .*; training skips it: take it out of"):
        captioned(tmp_path / "a.zip", "train").images(8)


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
    assert sorted(drawn_captions(path, None, 3, 0)) == ["one", "three", "two"]
    assert drawn_captions(path, None, 2, 0) == drawn_captions(path, None, 3, 0)[:2]
    with pytest.warns(UserWarning, match=r"n_prompts: wanted 9, .*prompts\.txt has 3: all of them"):
        assert drawn_captions(path, None, 9, 0) == drawn_captions(path, None, 3, 0)
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"prompts\.txt: got no prompt"):
        drawn_captions(path, None, 1, 0)


@pytest.fixture(params=["folder", "zip", "shards", "cache"])
def unsplit(request, tmp_path):
    """Nine pictures of which nothing is held out, picture i of colour (i, 0, i)."""
    if request.param == "shards":
        return str(make_shards(tmp_path / "d", (4, 5)))
    folder = make_folder(tmp_path / "d", 9)
    if request.param == "zip":
        rows = [{"file_name": f"{i:03d}.png", "text": f"c{i}"} for i in range(9)]
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return shutil.make_archive(str(tmp_path / "a"), "zip", folder)
    if request.param == "cache":
        (tmp_path / "cache.json").write_text(json.dumps({"source": str(folder), "where": []}))
        return str(tmp_path)
    return str(folder)


def test_one_half_of_data_without_splits_is_measured_and_that_is_said(unsplit):
    with pytest.warns(UserWarning, match="half of its 9 images are measured, which training may"):
        held, other = captioned(unsplit), captioned(unsplit, "train")
    assert (len(held), len(other)) == (5, 4)
    assert {*held.captions, *other.captions} == {f"c{i}" for i in range(9)}
    for part in (held, other):
        numbers = [int(text[1:]) for text in part.captions]
        assert ((part.images(8)[:, 0, 0, 0] + 1) * 127.5).round().int().tolist() == numbers
    assert sorted(at_hand(unsplit).captions) == [f"c{i}" for i in range(9)]  # walks take them all
    assert len(held.origin.digest()) == 16 and held.origin.digest() == other.origin.digest()


def test_what_a_cache_was_made_of_is_evaluated(tmp_path, monkeypatch):
    """Of what `latentgeo cache` wrote, from another folder than the one it ran in."""
    make_folder(tmp_path / "d", 3)
    monkeypatch.chdir(tmp_path)
    write_cache(Cache(out=Path("cache"), data="d", size=64, device="cpu"))
    monkeypatch.chdir("/")
    assert sorted(at_hand(str(tmp_path / "cache")).captions) == ["c0", "c1", "c2"]


def test_images_without_captions_count_for_models_without_text(tmp_path):
    folder = make_folder(tmp_path / "d", 4)
    (folder / "002.txt").unlink()
    with pytest.warns(UserWarning, match=r"002\.png: no caption"):
        assert len(at_hand(str(folder)).captions) == 3
    assert sum(len(captioned(folder, one, captions=False)) for one in ("test", "train")) == 4


def test_a_model_of_ones_own_needs_its_data(tmp_path):
    for known in ("avatars", "avatars-smooth", "avatars+own.safetensors", str(ZOO / "avatars")):
        assert data_of(None, [known]) == "avatars"
    (tmp_path / "config.json").write_text("{}")
    own = ["avatars", f"{tmp_path}+smooth_lora@0.5"]
    with pytest.raises(ValueError, match=f"data: got none, but {tmp_path} is a model of your own"):
        data_of(None, own)
    with pytest.raises(ValueError, match="give --data"):
        captioned(None, models=own)
    assert data_of("avatars", own) == "avatars"


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
