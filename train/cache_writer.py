"""Encodes a data source once: `latentgeo cache`. train/data/cache.py says what is written.

A part is written whole before the index names it, so that an interrupted run loses one part at the
most and goes on after the last.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.core.run.ranks import ranks
from latentgeo.infer.data.items import BadItem, Example
from latentgeo.infer.data.shards import Shards
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.train.data.cache import (
    FORMAT,
    Cached,
    is_cache,
    part_path,
    read_index,
    refuse_other,
    text_digest,
    vae_digest,
)
from latentgeo.train.data.latents import moments
from latentgeo.train.data.stream import CACHE_INDEX, Source, collate, open_source
from latentgeo.train.loop.session import data_hash
from latentgeo.train.settings import Cache


def data_digest(spec: str) -> str:
    """Return the digest of a data source, of the split too where it names one."""
    (found,) = data_hash(spec).values()
    return f"{found}:{spec.partition(':')[2]}" if spec.startswith("avatars") else found


class Writer:
    """Writes the parts of a cache that are not there yet."""

    def __init__(self, settings: Cache, bundle: TextToImage, identity: dict[str, object]) -> None:
        """Go on with what the folder holds; ValueError if that was made of something else."""
        self.settings, self.bundle = settings, bundle
        self.index: dict[str, Any] = {**identity, "parts": [], "items": 0, "complete": False}
        if is_cache(str(settings.out)):
            self.index = read_index(settings.out)
            advice = "choose another out, or remove that folder"
            refuse_other(settings.out, self.index, identity, advice)
        self.texts = set(Cached(settings.out, self.index).texts)

    def add(self, examples: Sequence[Example], items: int) -> None:
        """Write one part of examples, found among so many items."""
        captions = [example.caption for example in examples]
        texts = [text for text in dict.fromkeys(["", *captions]) if text not in self.texts]
        tensors = {"moments": self._moments(examples), "context": self._context(texts)}
        path = part_path(self.settings.out, len(self.index["parts"]))
        labels = {"names": [e.name for e in examples], "captions": captions, "texts": texts}
        atomic_write(path.with_suffix(".json"), json.dumps(labels, ensure_ascii=False))
        write_safetensors(path, tensors)
        self.texts.update(texts)
        self.index["parts"].append(len(examples))
        self.index["items"] += items
        self.write_index()

    def write_index(self) -> None:
        """Write cache.json."""
        atomic_write(self.settings.out / CACHE_INDEX, json.dumps(self.index, indent=2) + "\n")

    @torch.no_grad()
    def _moments(self, examples: Sequence[Example]) -> Tensor:
        found = [
            moments(self.bundle.vae, collate(chunk)[0].to(self.bundle.device)).cpu()
            for chunk in chunks(examples, self.settings.batch)
        ]
        return torch.cat(found).to(pick_dtype(self.settings.store)).contiguous()

    @torch.no_grad()
    def _context(self, texts: Sequence[str]) -> Tensor:
        text = self.bundle.config.text
        found = [torch.empty(0, text.context, text.width)]
        found += [
            self.bundle.encode_text(chunk).cpu() for chunk in chunks(texts, self.settings.batch)
        ]
        return torch.cat(found).to(pick_dtype(self.settings.store)).contiguous()


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of `size`, the last of them shorter."""
    for first in range(0, len(items), size):
        yield list(items[first : first + size])


def readers(source: Source | Shards) -> Iterator[Callable[[], Example]]:
    """Yield what reads each item, in the order of the files."""
    if isinstance(source, Shards):
        for shard in range(len(source.paths)):
            for i in range(source.size_of(shard)):
                yield partial(source.read, shard, i)
    else:
        for i in range(len(source)):
            yield partial(source.read, i)


def usable(source: Source | Shards, chunk: Sequence[Callable[[], Example]]) -> list[Example]:
    """Return the examples that can be used; the others are counted, or raise."""
    found = []
    for read in chunk:
        try:
            found.append(read())
        except BadItem as bad:
            source.rejects.add(bad)
    return found


def write_cache(settings: Cache) -> None:
    """Run `latentgeo cache`; ValueError under torchrun, or for a folder of something else."""
    if ranks().world > 1:
        raise ValueError(
            "cache: one process makes it, got several ranks; start it without torchrun"
        )
    device = pick_device(settings.device)
    bundle = load_text_to_image(settings.model, device=device)
    size = settings.size or bundle.config.sampling.size
    source = open_source(settings.data, size, settings.on_bad, where=settings.where)
    identity = {
        "format": FORMAT,
        "vae": vae_digest(bundle.vae),
        "text": text_digest(bundle),
        "data": data_digest(settings.data),
        "size": size,
        "where": list(settings.where),
        "store": settings.store,
        "part": settings.part,
    }
    writer = Writer(settings, bundle, identity)
    rest = list(islice(readers(source), writer.index["items"], None))
    for chunk in progress(list(chunks(rest, settings.part)), label="encoding", unit="part"):
        writer.add(usable(source, chunk), len(chunk))
    made_of = settings.data
    if not made_of.startswith("avatars"):
        made_of = str(Path(made_of).absolute())
    writer.index |= {"complete": True, "bad": dict(source.bad), "source": made_of}
    writer.write_index()
    print(f"wrote {len(Cached(settings.out, writer.index))} examples to {settings.out}", flush=True)
    if source.rejects.summary():
        print(source.rejects.summary(), flush=True)
