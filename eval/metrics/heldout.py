"""The images and captions that a model is judged on: the held-out half of the embedded avatars.

Any zip file of that layout will do: images and a `metadata.jsonl` with a line per image of
`{"file_name": ..., "text": ..., "split": "test"}`.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.names import by_spelling, name_among
from latentgeo.core.run.seeds import generator
from latentgeo.core.run.text import decoded, read_lines
from latentgeo.infer.pictures.decoding import read_rgb
from latentgeo.models.zoo.places import AVATARS


@dataclass(frozen=True)
class Captioned:
    """Captions of one split and the names of their images inside a zip file."""

    path: Path
    names: tuple[str, ...]
    captions: tuple[str, ...]
    attributes: tuple[dict[str, str], ...] = ()  # what each shows, empty where it is not stated

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, count: int, seed: int) -> "Captioned":
        """Return `count` of them, drawn without replacement by a seed; ValueError if too few."""
        if not 1 <= count <= len(self):
            raise ValueError(f"count must lie in 1..{len(self)} ({self.path}), got {count}")
        order = torch.randperm(len(self), generator=generator(seed, "captions")).tolist()
        return self.at(order[:count])

    def first(self, count: int) -> "Captioned":
        """Return the first `count` of them."""
        return self.at(range(min(count, len(self))))

    def at(self, places: Sequence[int]) -> "Captioned":
        """Return those at some places."""
        names, captions = (tuple(all[i] for i in places) for all in (self.names, self.captions))
        shown = tuple(self.attributes[i] for i in places) if self.attributes else ()
        return Captioned(self.path, names, captions, shown)

    def digest(self) -> str:
        """Return 16 hexadecimal digits of a SHA-256 over the names and captions."""
        text = json.dumps([*self.names, *self.captions]).encode()
        return hashlib.sha256(text).hexdigest()[:16]

    def images(self, size: int) -> Tensor:
        """Return the images (N, 3, size, size) in [-1, 1]."""
        with zipfile.ZipFile(self.path) as archive:
            return torch.stack([read_image(archive.read(name), size, name) for name in self.names])


def captioned(path: str | Path | None = None, split: str = "test") -> Captioned:
    """Return one split of the embedded avatars, or of another zip file of that layout.

    Raises FileNotFoundError, or ValueError for another file and a split without images.
    """
    source = AVATARS if path is None else Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file; a zip of images and metadata.jsonl")
    try:
        with zipfile.ZipFile(source) as archive:
            lines = decoded(archive.read("metadata.jsonl"), str(source)).split("\n")
            known = by_spelling(archive.namelist())
        rows = [json.loads(line) for line in lines if line.strip()]
        chosen = [
            (name_among(known, row["file_name"]), row["text"], row.get("attributes", {}))
            for row in rows
            if row["split"] == split
        ]
    except (zipfile.BadZipFile, ValueError, KeyError) as error:
        raise ValueError(f"{source}: not a zip of captioned images: {error}") from None
    if not chosen:
        raise ValueError(f"{source}: no image of the split {split!r}")
    names, captions, attributes = zip(*chosen, strict=True)
    return Captioned(source, names, captions, attributes)


def read_captions(path: Path | None, data: str | None, count: int, seed: int) -> Sequence[str]:
    """Return `count` captions drawn by a seed: of a text file with one to a line, or held out."""
    if path is None:
        return captioned(data).chosen(count, seed).captions
    lines = tuple(read_lines(path))
    return Captioned(path, lines, lines).chosen(count, seed).captions


def read_image(data: bytes, size: int, name: str) -> Tensor:
    """Return one encoded image as (3, size, size) in [-1, 1]; ValueError names it if it is none."""
    rgb = read_rgb(io.BytesIO(data), name)
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 127.5 - 1
