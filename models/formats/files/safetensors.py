"""A safetensors file: a header checked before it is believed, and tensors mapped one by one.

Layout   8 bytes, little endian: the length n of the header; n bytes of JSON with every tensor's
         dtype, shape and offsets [start, end) behind the header; the tensors, without a gap, to the
         end of the file
Memory   a tensor is a view of a private mapping: its bytes are read when they are touched, and what
         is written to it never reaches the file
Source   the format's own description, huggingface.co/docs/safetensors
"""

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.formats.files.source import Entry

DTYPES = {  # in the format's own order: files list the last kinds first
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "C64": torch.complex64,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes; what the format's own reader takes at most
METADATA = "__metadata__"


class SafeFile:
    """An open safetensors file.

    Raises ValueError that says what is wrong with it: truncated, no header, or a header that
    contradicts itself or the file's size.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            header, start = _header(path)
            self.metadata = _metadata(header.pop(METADATA, {}))
            self._places = {name: _place(name, row) for name, row in header.items()}
            _check_places(self._places, path.stat().st_size - start)
        except ValueError as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
        self.entries = {name: entry for name, (entry, _, _) in self._places.items()}
        self._start = start
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def read(self, name: str) -> Tensor:
        """Return a tensor as a view of the mapped file."""
        entry, first, last = self._places[name]
        if first == last:
            return torch.empty(entry.shape, dtype=entry.dtype)
        at = self._start + first
        if at % entry.dtype.itemsize:  # a view would not be aligned
            bytes_ = torch.frombuffer(self._map, dtype=torch.uint8, count=last - first, offset=at)
            return bytes_.clone().view(entry.dtype).view(entry.shape)
        count = math.prod(entry.shape)
        return torch.frombuffer(self._map, dtype=entry.dtype, count=count, offset=at).view(
            entry.shape
        )

    def drop(self, name: str) -> None:
        """Let go of a tensor's pages, and of those it shares with its neighbours."""
        _, first, last = self._places[name]
        first = (self._start + first) // mmap.PAGESIZE * mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED") and last:
            self._map.madvise(mmap.MADV_DONTNEED, first, self._start + last - first)


def write_safetensors(
    path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write tensors, one at a time and atomically, and return the path.

    The bytes are those of the format's own writer: wide dtypes first, then by name. Raises
    ValueError for a dtype that the format does not have.
    """
    if unknown := [name for name, tensor in tensors.items() if tensor.dtype not in NAMES]:
        raise ValueError(f"{path}: {unknown[0]} is {tensors[unknown[0]].dtype}, which has no name")
    order = list(NAMES)
    names = sorted(tensors, key=lambda name: (-order.index(tensors[name].dtype), name))
    header: dict[str, object] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.dtype.itemsize
        kind, shape = NAMES[tensor.dtype], list(tensor.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)

    def write(file: BinaryIO) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data if flat.numel() else b"")

    return atomic_write(path, write)


def looks_safe(start: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins so can be a safetensors file."""
    length = int.from_bytes(start[:8], "little")
    return len(start) > 8 and start[8:9] == b"{" and length <= max(size - 8, 0)


def _header(path: Path) -> tuple[dict[str, object], int]:
    """Return the header's JSON object and where it ends."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10:
            raise ValueError(f"it has {size} bytes, too few for a header")
        if length > LONGEST_HEADER:
            raise ValueError(
                f"its first 8 bytes give the header {length} bytes, wanted at most {LONGEST_HEADER}"
            )
        if length > size - 8:
            raise ValueError(f"the header has {length} bytes, the file only {size - 8} behind it")
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is no JSON object of tensors: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, 8 + length


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object in which no key stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found


def _metadata(found: object) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError(f"{METADATA} is not a table of texts")
    return found


def _place(name: str, row: object) -> tuple[Entry, int, int]:
    """Return a tensor's entry and its offsets, if the header's row of it makes sense."""
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} has no dtype, shape and data_offsets, or more than these")
    kind, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"{name!r} is of the unknown dtype {kind!r}")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} has shape {shape!r} and offsets {offsets!r}")
    entry = Entry(DTYPES[kind], tuple(shape))
    wanted = math.prod(shape) * entry.dtype.itemsize
    if offsets[1] - offsets[0] != wanted:
        raise ValueError(
            f"{name!r} is {kind} of shape {shape}, which takes {wanted} bytes, but has "
            f"{offsets[1] - offsets[0]}"
        )
    return entry, offsets[0], offsets[1]


def _sizes(found: object) -> bool:
    return isinstance(found, list) and all(type(n) is int and n >= 0 for n in found)


def _check_places(places: Mapping[str, tuple[Entry, int, int]], size: int) -> None:
    """Raise unless the tensors lie one behind the other and fill the file to its end."""
    end = 0
    for name, (_, first, last) in sorted(places.items(), key=lambda item: item[1][1:]):
        if first != end:
            raise ValueError(f"{name!r} begins at byte {first}, wanted {end}")
        end = last
    if end > size:
        raise ValueError(f"it is truncated: its tensors take {end} bytes, and {size} are there")
    if end < size:
        raise ValueError(f"{size - end} bytes follow the last tensor")
