"""Files of weights opened by what is in them: safetensors, `torch.save`, shards with an index.

Of TorchScript archives one is opened, FID's graph, since it is published in no other way.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from torch import Tensor

from latentgeo.core.run.text import read_text
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.pickle import (
    WAY_OUT,
    PickleFile,
    looks_pickled,
    looks_scripted,
)
from latentgeo.models.formats.files.safetensors import SafeFile, looks_safe
from latentgeo.models.formats.files.script import ScriptFile
from latentgeo.models.formats.files.source import Entry, Source, shapes
from latentgeo.models.formats.files.views import Renamed, unwrapped

STRAYS = {  # how files begin that are often found under the name of another
    b"version https://git-lfs": "a Git LFS pointer and not the file it points to; `git lfs pull`",
    b"<!DOCTYPE": "a web page and not a file of weights; the download failed",
    b"<html": "a web page and not a file of weights; the download failed",
}


class Sharded:
    """Several files with one index, which says where each tensor is.

    Raises ValueError that names a tensor which is not where the index has it, or is not in the
    index at all, and an index that leads out of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        self._homes = _weight_map(path)
        names = dict.fromkeys(self._homes.values())
        self.files = [path.parent / name for name in names]
        self._parts: dict[str, Source] = {file.name: _opened(file) for file in self.files}
        self.entries: dict[str, Entry] = {}
        for name, home in self._homes.items():
            if name not in self._parts[home].entries:
                raise ValueError(f"{path} puts {name} in {home}, which does not have it")
            self.entries[name] = self._parts[home].entries[name]
        for home, part in self._parts.items():
            if extra := sorted(set(part.entries) - set(self._homes)):
                raise ValueError(f"{path} does not know of {extra[0]}, which is in {home}")

    def read(self, name: str) -> Tensor:
        """Return a tensor from the file that has it."""
        return self._parts[self._homes[name]].read(name)

    def drop(self, name: str) -> None:
        """Forget a tensor that was copied."""
        self._parts[self._homes[name]].drop(name)


def open_source(path: Path) -> Source:
    """Open a file of weights, whatever its name ends in, its names without their wrappers.

    Raises FileNotFoundError, or ValueError that says what the file is instead.
    """
    return unwrapped(_opened(path))


def files_of(source: Source) -> list[Path]:
    """Return the files that an open one consists of: itself, or those of an index."""
    inner = source.inner if isinstance(source, Renamed) else source
    return inner.files if isinstance(inner, Sharded) else [inner.path]


def _opened(path: Path) -> Source:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(64)
    if start.startswith(b"{") and path.name.endswith(".json"):
        return Sharded(path)
    for beginning, what in STRAYS.items():
        if start.startswith(beginning):
            raise ValueError(f"{path} is {what}")
    if looks_pickled(start) and not looks_safe(start, size):
        if path.suffix == ".safetensors":  # PyTorch would go by the name
            raise ValueError(f"{path} is a pickle under a safetensors' name; rename it to .ckpt")
        return _scripted(path) if looks_scripted(path) else PickleFile(path)
    return SafeFile(path)


def _scripted(path: Path) -> Source:
    """Open FID's graph, and say of any other TorchScript archive what to do with it."""
    source = ScriptFile(path)
    family = looks_like(shapes(source))
    if family.name != "inception-graph":
        raise ValueError(
            f"{path} is a TorchScript archive, a program with its weights, which is not run here; "
            f"it looks like {family.title}; {WAY_OUT}"
        )
    return source


def _weight_map(path: Path) -> Mapping[str, str]:
    """Return the file of every tensor, by name, from an index; each is a plain file name."""
    try:
        homes = json.loads(read_text(path))["weight_map"]
        if not all(isinstance(home, str) for home in homes.values()):
            raise TypeError("a place that is no text")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no index of shards: it has no weight_map of names") from None
    for home in homes.values():
        if PurePosixPath(home).name != home or "\\" in home:
            raise ValueError(f"{path} names {home!r}, wanted a file beside it")
    found: dict[str, str] = homes
    return found
