"""Tar shards as WebDataset writes them, as an endless stream; shard_index.py reads one.

A shard is indexed by its headers when the order reaches it, and images are read from their offsets,
so skipping to a position decodes nothing.

Order: shards are permuted by (seed, epoch), samples inside a shard by (seed, epoch, shard). With at
least as many shards as ranks, rank r takes every `world`-th shard of that endless sequence; with
fewer all ranks walk one order and take their share of each step, as for a map-style source.
"""

import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from latentgeo.infer.data.images import SUFFIXES, Framing
from latentgeo.infer.data.items import (
    CAPTION_BYTES,
    FILE_BYTES,
    BadItem,
    Example,
    Label,
    OnBad,
    Rejects,
)
from latentgeo.infer.data.shard_index import Sample, Span, caption_of, index_shard, read_span
from latentgeo.infer.data.where import Condition

KEPT = 4  # indexes of shards kept in memory
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Shards:
    """Stream over tar files; iterating it once yields every usable example in file order."""

    def __init__(
        self,
        paths: list[Path],
        framing: Framing,
        on_bad: OnBad = "skip",
        *,
        allow_uncaptioned: bool = False,
        where: Sequence[Condition] = (),
    ) -> None:
        """Check that all shards exist and one has a sample; the rest is indexed on the way."""
        if missing := [path for path in paths if not path.is_file()]:
            raise FileNotFoundError(f"{missing[0]}: no such shard ({len(missing)} are missing)")
        self.paths, self.framing, self.rejects = paths, framing, Rejects(on_bad)
        self.allow_uncaptioned, self.where = allow_uncaptioned, where
        self._counts: dict[int, int] = {}
        self._indexes: dict[int, list[Sample]] = {}
        if not any(self.size_of(shard) for shard in range(len(paths))):
            place = str(paths[0]) + (f" ... {paths[-1].name}" if len(paths) > 1 else "")
            asked = f" with {' and '.join(map(str, self.where))}" if self.where else ""
            raise ValueError(f"{place}: no image with a caption{asked}. {self.rejects.summary()}")

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.rejects.count

    def __iter__(self) -> Iterator[Example]:
        """Yield the examples of all shards once, in file order."""
        for shard in range(len(self.paths)):
            for i in range(self.size_of(shard)):
                try:
                    yield self.read(shard, i)
                except BadItem as bad:
                    self.rejects.add(bad)

    def size_of(self, shard: int) -> int:
        """Return the number of samples in a shard."""
        if shard not in self._counts:
            self._counts[shard] = len(self.index(shard))
        return self._counts[shard]

    def index(self, shard: int) -> list[Sample]:
        """Return the samples of a shard from its headers; the last few answers are kept."""
        if shard not in self._indexes:
            if len(self._indexes) >= KEPT:
                del self._indexes[next(iter(self._indexes))]
            path, allowed = self.paths[shard], self.allow_uncaptioned
            self._indexes[shard] = index_shard(path, self.rejects, allowed, self.where)
        return self._indexes[shard]

    def label(self, shard: int, i: int) -> Label:
        """Return what is said of sample i of a shard; a caption of no use raises `BadItem`."""
        path, sample = self.paths[shard], self._sample(shard, i)
        name = f"{path}/{sample.name}"
        text = b"" if sample.caption is None else span_of(path, sample.caption, CAPTION_BYTES, name)
        caption = caption_of(text, sample.is_json, name, self.allow_uncaptioned)
        return Label(sample.name, caption)

    def read(self, shard: int, i: int, draw: random.Random | None = None) -> Example:
        """Return sample i of a shard; one that cannot be used raises `BadItem`."""
        path, sample = self.paths[shard], self._sample(shard, i)
        name = f"{path}/{sample.name}"
        image = span_of(path, sample.image, FILE_BYTES, name)
        caption = self.label(shard, i).caption
        return Example(self.framing.tensor(image, name, draw), caption, sample.name)

    def _sample(self, shard: int, i: int) -> Sample:
        path, samples = self.paths[shard], self.index(shard)
        if i >= len(samples):
            raise BadItem(f"{path}/{i}", "shard has changed", f"{len(samples)} samples are left")
        return samples[i]


def span_of(path: Path, span: Span, limit: int, name: str) -> bytes:
    """Return the bytes of a span of a shard; raise `BadItem` where they are not there."""
    try:
        with path.open("rb") as file:
            return read_span(file, span, limit, name)
    except OSError as error:
        raise BadItem(name, "unreadable file", str(error)) from None


class ShardOrder:
    """Endless order over the samples of shards, for one rank (see the head of this file)."""

    def __init__(
        self, shards: Shards, seed: int, rank: int = 0, world: int = 1, shuffle: bool = True
    ) -> None:
        """Give this rank its own lane where there are enough shards, else the common order."""
        self.shards, self.seed, self.shuffle = shards, seed, shuffle
        self.items = len(shards.paths)
        self.lanes, self.lane = (world, rank) if self.items >= world else (1, 0)
        mine = {(k * self.lanes + self.lane) % self.items for k in range(self.items)}
        self._reachable = set(range(self.items)) if shuffle else mine
        self._starts = [0]  # position of the first sample of the k-th shard on this lane
        self._permuted: dict[tuple[int, ...], np.ndarray] = {}

    def read(self, position: int, draw: random.Random | None = None) -> Example:
        """Return the example at a position of this lane, or raise `BadItem`."""
        k = self._turn(position)
        epoch, shard = self._shard(k)
        i = position - self._starts[k]
        order = self._permutation((epoch, shard), self.shards.size_of(shard))
        return self.shards.read(shard, int(order[i]), draw)

    def covers(self, first: int, last: int) -> bool:
        """Whether every sample that this lane can reach lies between two positions."""
        turns = range(self._turn(first) + 1, self._turn(last))
        return {self._shard(k)[1] for k in turns} >= self._reachable

    def _turn(self, position: int) -> int:
        """Return k such that `position` lies in the k-th shard of this lane."""
        empty: set[int] = set()
        while self._starts[-1] <= position:
            shard = self._shard(len(self._starts) - 1)[1]
            size = self.shards.size_of(shard)
            empty = empty | {shard} if size == 0 else set()
            if empty >= self._reachable:
                raise ValueError(f"no sample in any shard. {self.shards.rejects.summary()}")
            self._starts.append(self._starts[-1] + size)
        return bisect_right(self._starts, position) - 1

    def _shard(self, k: int) -> tuple[int, int]:
        """Return the epoch and the shard of the k-th turn of this lane."""
        epoch, offset = divmod(k * self.lanes + self.lane, self.items)
        return epoch, int(self._permutation((epoch,), self.items)[offset])

    def _permutation(self, key: tuple[int, ...], n: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(n)
        if key not in self._permuted:
            if len(self._permuted) >= 4 * KEPT:
                del self._permuted[next(iter(self._permuted))]
            rng = np.random.default_rng([self.seed, *key])
            self._permuted[key] = rng.permutation(n)
        return self._permuted[key]


def shard_paths(spec: str) -> list[Path]:
    """Return the shards that a pattern, a .tar or a folder of .tar names; [] if it is none.

    Raises ValueError for compressed shards, and for a folder of both shards and images.
    """
    path = Path(spec)
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
        tars = [name for name in names if name.lower().endswith(".tar")]
        images = [name for name in names if name.lower().endswith(SUFFIXES)]
        if tars and images:
            raise ValueError(f"{spec}: holds both shards ({tars[0]}) and images ({images[0]})")
        return [path / name for name in tars]
    if spec.lower().endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")):
        raise ValueError(f"{spec}: compressed shards are not read; decompress them to .tar")
    if not spec.lower().endswith(".tar"):
        return []
    return [path] if path.exists() else [Path(name) for name in expand(spec)]


def expand(pattern: str) -> list[str]:
    """Return the names of a pattern such as `a-{000..012}.tar`; several ranges multiply.

    Raises ValueError for a range that is empty or too long.
    """
    match = RANGE.search(pattern)
    if match is None:
        return [pattern]
    low, high = match.groups()
    if int(low) > int(high) or int(high) - int(low) > 10**6:
        raise ValueError(f"{pattern}: the range {match.group()} is empty or too long")
    before, rest = pattern[: match.start()], expand(pattern[match.end() :])
    numbers = [f"{n:0{len(low)}d}" for n in range(int(low), int(high) + 1)]
    return [before + number + tail for number in numbers for tail in rest]
