"""The images and captions that models are judged on: the held-out ones of what `--data` names.

Whatever training reads is read here, in the same way: the embedded avatars, a folder, an archive,
shards, CIFAR-10, and what a cache of latents was made of. Held out is the split `test` of a
metadata.jsonl, as of the avatars; of data without splits, all of which training takes, one half is
measured against the other, and that is said.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from latentgeo.core.run.files import sha256
from latentgeo.core.run.seeds import generator
from latentgeo.core.run.text import read_lines
from latentgeo.infer.data.cifar import is_cifar10
from latentgeo.infer.data.items import BadItem, Label
from latentgeo.infer.data.listing import Place, example, listed, made_of
from latentgeo.infer.data.shards import Shards
from latentgeo.infer.data.sources import Labelled, collate, open_source
from latentgeo.infer.sampling.loading import parse_model
from latentgeo.models.zoo.places import AVATARS, ZOO

SPLITS = {"test", "train"}  # held out, and what models are trained on
LISTED = 64  # side at which a source is opened to be listed; no image is read
Row = tuple[Place, Label]


@dataclass(frozen=True)
class Origin:
    """Where images are: what names them, and how that is opened."""

    data: str  # as `--data` has it
    split: str = "test"  # of CIFAR-10, which is opened a split at a time
    captions: bool = True  # False lets in images without

    @lru_cache(maxsize=4)  # noqa: B019  (an origin is a value; a source may be a file in memory)
    def opened(self, size: int) -> Labelled | Shards:
        """Return the source, of a cache what it was made of."""
        spec, where = made_of(self.data)
        split = self.split if is_cifar10(Path(spec)) else ""
        if spec.partition(":")[0] == "avatars":
            spec, split = "avatars", "all"
        allowed = not self.captions
        return open_source(spec, size, split=split, allow_uncaptioned=allowed, where=where)

    def rows(self) -> list[Row]:
        """Return every example's place and label; ValueError if there is none."""
        return listed(self.opened(LISTED))

    def digest(self) -> str:
        """Return 16 hexadecimal digits of a SHA-256 of the file, or of all names and captions."""
        file = AVATARS if self.data.partition(":")[0] == "avatars" else Path(self.data)
        return sha256(file)[:16] if file.is_file() else Captioned.of(self, self.rows()).digest()


@dataclass(frozen=True)
class Captioned:
    """Captions of some images, and the places of the images in their source."""

    origin: Origin
    names: tuple[str, ...]
    captions: tuple[str, ...]
    attributes: tuple[dict[str, str], ...]  # what each shows, empty where it is not stated
    places: tuple[Place, ...]

    @classmethod
    def of(cls, origin: Origin, rows: Sequence[Row]) -> Self:
        """Return these examples of a source."""
        labels = [label for _, label in rows]
        return cls(
            origin,
            tuple(one.name for one in labels),
            tuple(one.caption for one in labels),
            tuple(dict(one.attributes) for one in labels),
            tuple(place for place, _ in rows),
        )

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, count: int, seed: int, option: str = "n_images") -> "Captioned":
        """Return `count` of them, drawn without replacement by a seed.

        Raises ValueError that names the option, where there are fewer.
        """
        if not 1 <= count <= len(self):
            most = f"1..{len(self)} ({self.origin.data})"
            raise ValueError(f"{option} must lie in {most}, got {count}")
        return self.at(order(len(self), seed)[:count])

    def first(self, count: int) -> "Captioned":
        """Return the first `count` of them."""
        return self.at(range(min(count, len(self))))

    def at(self, numbers: Sequence[int]) -> "Captioned":
        """Return those of some numbers."""
        columns = self.names, self.captions, self.attributes, self.places
        return Captioned(self.origin, *(tuple(one[i] for i in numbers) for one in columns))  # type: ignore[arg-type]

    def digest(self) -> str:
        """Return 16 hexadecimal digits of a SHA-256 over the names and captions."""
        text = json.dumps([*self.names, *self.captions]).encode()
        return hashlib.sha256(text).hexdigest()[:16]

    def images(self, size: int) -> Tensor:
        """Return the images (N, 3, size, size) in [-1, 1], framed as in training.

        Raises ValueError that names an image which cannot be read.
        """
        source = self.origin.opened(size)
        try:
            return collate([example(source, place) for place in self.places])[0]
        except BadItem as bad:
            where = self.origin.data
            raise ValueError(f"{bad}; training skips it: take it out of {where}") from None


def captioned(
    data: str | Path | None = None,
    split: str = "test",
    models: Sequence[str] = (),
    *,
    captions: bool = True,
) -> Captioned:
    """Return one split of what `--data` names: `test`, which is held out, or `train`.

    No data is the embedded avatars, and refused where one of `models` is not embedded. Without
    `captions` images that have none count, too. Raises FileNotFoundError, or ValueError for what
    is no data, and for a split without images.
    """
    origin = Origin(data_of(data, models), split, captions)
    rows = origin.rows()
    if has_splits(rows):
        chosen = [row for row in rows if row[1].split == split]
    else:
        chosen = half(rows, split)
        warnings.warn(
            f"{origin.data}: no split of it is held out: half of its {len(rows)} images are "
            "measured, which training may have seen; the other half is left to compare with",
            stacklevel=1,
        )
    if not chosen:
        raise ValueError(f"{origin.data}: no image of the split {split!r}")
    return Captioned.of(origin, chosen)


def has_splits(rows: Sequence[Row]) -> bool:
    """Whether any example is said to be held out, or trained on."""
    return any(label.split in SPLITS for _, label in rows)


def half(rows: Sequence[Row], split: str) -> list[Row]:
    """Return every second example by the hashes of their names: for `test` the first of them."""
    hashed = sorted(rows, key=lambda row: hashlib.sha256(row[1].name.encode()).digest())
    places = {place for place, _ in hashed[split != "test" :: 2]}
    return [row for row in rows if row[0] in places]


def data_of(data: str | Path | None, models: Sequence[str] = ()) -> str:
    """Return what the data is; ValueError where none is given for a model that is not embedded."""
    if data is not None:
        return str(data)
    sources = [parse_model(one).source for one in models]
    if own := [source for source in sources if not embedded(source)]:
        raise ValueError(
            f"data: got none, but {own[0]} is a model of your own: give --data with what it was "
            "trained on (--data avatars is the faces of the embedded models)"
        )
    return "avatars"


def embedded(source: str) -> bool:
    """Whether a model is one of the package, by its name or its folder's path."""
    place = (ZOO / source).resolve()
    return place.is_relative_to(ZOO.resolve()) and (place / "config.json").is_file()


def at_hand(data: str | None, models: Sequence[str] = ()) -> Captioned:
    """Return what is held out, or all of data without splits: for its captions, or by name."""
    origin = Origin(data_of(data, models))
    rows = origin.rows()
    return captioned(data, "test", models) if has_splits(rows) else Captioned.of(origin, rows)


def drawn_captions(
    path: Path | None, data: str | None, count: int, seed: int, models: Sequence[str] = ()
) -> Sequence[str]:
    """Return captions drawn by a seed: of a text file with one to a line, or of the data.

    They are `count`, or all where there are fewer, which is said.
    """
    texts = at_hand(data, models).captions if path is None else tuple(read_lines(path))
    place = data_of(data, models) if path is None else str(path)
    if not texts:
        raise ValueError(f"{place}: got no prompt in it, wanted one to a line")
    if count > len(texts):
        warnings.warn(
            f"n_prompts: wanted {count}, {place} has {len(texts)}: all of them are taken",
            stacklevel=1,
        )
    return [texts[i] for i in order(len(texts), seed)[:count]]


def order(count: int, seed: int) -> list[int]:
    """Return the numbers below `count` in the order that a seed draws them."""
    found: list[int] = torch.randperm(count, generator=generator(seed, "captions")).tolist()
    return found
