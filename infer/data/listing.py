"""All examples of a source by their places, with what is said of them; no picture is read.

Training goes through a source in an order (train/data/stream.py). Evaluation draws from it by name
and caption first, and reads the pictures of what it drew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentgeo.core.run.text import read_text
from latentgeo.infer.data.items import BadItem, Example, Label
from latentgeo.infer.data.shards import Shards
from latentgeo.infer.data.sources import CACHE_INDEX, Labelled

Place = tuple[int, ...]  # of an example: its number, or its shard and its number there


def places(source: Labelled | Shards) -> Iterator[Place]:
    """Yield the place of every example."""
    if isinstance(source, Shards):
        for shard in range(len(source.paths)):
            yield from ((shard, i) for i in range(source.size_of(shard)))
    else:
        yield from ((i,) for i in range(len(source)))


def listed(source: Labelled | Shards) -> list[tuple[Place, Label]]:
    """Return the examples whose captions can be used; the others are counted, as in training."""
    found = []
    for place in places(source):
        try:
            found.append((place, source.label(*place)))
        except BadItem as bad:
            source.rejects.add(bad)
    return found


def example(source: Labelled | Shards, place: Place) -> Example:
    """Return the example at a place; one that cannot be used raises `BadItem`."""
    if isinstance(source, Shards):
        shard, i = place
        return source.read(shard, i)
    (number,) = place
    return source.read(number)


def made_of(data: str) -> tuple[str, tuple[str, ...]]:
    """Return what a cache of latents was made of and which conditions it met; other data as it is.

    Raises ValueError for a cache that does not say, or that is not complete.
    """
    path = Path(data) / CACHE_INDEX
    if not path.is_file():
        return data, ()
    index: dict[str, Any] = json.loads(read_text(path))
    if "source" not in index:
        raise ValueError(
            f"{data}: a cache of latents that does not say what it was made of; run `latentgeo "
            "cache` to its end, or give the images themselves"
        )
    return str(index["source"]), tuple(index["where"])
