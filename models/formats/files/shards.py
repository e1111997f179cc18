"""How a network's weights are laid over files: in one or in shards, plain or as a variant.

Names    `STEM.safetensors`; of shards `STEM-00001-of-00003.safetensors` and an index,
         `STEM.safetensors.index.json`; a variant such as `fp16` stands behind the stem, and in an
         index's name before `.json`, as diffusers and transformers have it
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.formats.files.safetensors import write_safetensors

WORD = re.compile(r"[A-Za-z0-9_]+")
FORMAT = {"format": "pt"}  # without it transformers does not take a file


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What files are called and how large they may be."""

    variant: str | None = None  # a word in their names, such as fp16
    shard_size: int | None = None  # bytes of tensors in a file; one larger tensor has its own

    def __post_init__(self) -> None:
        """Refuse a variant that is no word, and shards of nothing."""
        if self.variant is not None and not WORD.fullmatch(self.variant):
            raise ValueError(f"variant must be a word such as fp16, got {self.variant!r}")
        if self.shard_size is not None and self.shard_size < 1:
            raise ValueError(f"shard_size must be at least a byte, got {self.shard_size}")

    def name(self, stem: str, place: str = "") -> str:
        """Return the name of a file of weights; `place` is "-00001-of-00003" in a shard's."""
        return f"{self._start(stem)}{place}.safetensors"

    def index(self, stem: str) -> str:
        """Return the name of the index of shards."""
        end = "json" if self.variant is None else f"{self.variant}.json"
        return f"{stem}.safetensors.index.{end}"

    def parts(self, state: Mapping[str, Tensor]) -> list[list[str]]:
        """Return the names of the tensors of each file, in their order, each filled in turn."""
        limit = self.shard_size
        found, room = [list[str]()], limit
        for key, tensor in state.items():
            if limit is not None and room is not None:
                if tensor.nbytes > room and found[-1]:
                    found.append([])
                    room = limit
                room -= tensor.nbytes
            found[-1].append(key)
        return found

    def first(self, stem: str, state: Mapping[str, Tensor]) -> str:
        """Return the name of the file that is opened first: the weights or their index."""
        return self.index(stem) if len(self.parts(state)) > 1 else self.name(stem)

    def _start(self, stem: str) -> str:
        return stem if self.variant is None else f"{stem}.{self.variant}"


PLAIN = Packing()


def write_weights(folder: Path, stem: str, state: Mapping[str, Tensor], packing: Packing) -> Path:
    """Write a network's weights, each file atomically, the index last; return the first to open."""
    parts = packing.parts(state)
    if len(parts) == 1:
        return write_safetensors(folder / packing.name(stem), state, FORMAT)
    homes: dict[str, str] = {}
    for i, keys in enumerate(parts):
        name = packing.name(stem, f"-{i + 1:05d}-of-{len(parts):05d}")
        write_safetensors(folder / name, {key: state[key] for key in keys}, FORMAT)
        homes |= dict.fromkeys(keys, name)
    total = sum(tensor.nbytes for tensor in state.values())
    table = {"metadata": {"total_size": total}, "weight_map": homes}
    text = json.dumps(table, indent=2, sort_keys=True)
    return atomic_write(folder / packing.index(stem), text + "\n")
