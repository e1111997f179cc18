"""Files seen otherwise than they are: bare names, the average as the weights, q, k, v apart.

A view is a `Source` of its own, over one that is open.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from latentgeo.models.formats.files.pickle import AVERAGE
from latentgeo.models.formats.files.source import Entry, Source


class View:
    """What a view takes over from the file below it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def path(self) -> Path:
        """The file."""
        return self._source.path

    @property
    def metadata(self) -> Mapping[str, str]:
        """What else the file says, in words."""
        return self._source.metadata


BUNDLED = "bundle_emb."  # before a token that comes with a LoRA
WRAPPERS = re.compile(r"(^|\.)(_orig_mod|module)(?=\.)")  # of torch.compile, of several GPUs


class Renamed(View):
    """A file under other names: `names` has the file's own of each."""

    def __init__(self, source: Source, names: Mapping[str, str]) -> None:
        super().__init__(source)
        self.inner, self._names = source, names
        self.entries: Mapping[str, Entry] = {n: source.entries[w] for n, w in self._names.items()}

    def read(self, name: str) -> Tensor:
        """Return a tensor."""
        return self._source.read(self._names[name])

    def drop(self, name: str) -> None:
        """Forget a tensor that was read and copied."""
        self._source.drop(self._names[name])


def bare_name(name: str) -> str:
    """Return a tensor's name without `_orig_mod.` and `module.`, however many and wherever.

    But for the names of tokens in a LoRA, which may be any word.
    """
    before, bundled, token = name.partition(BUNDLED)
    return WRAPPERS.sub("", before).removeprefix(".") + bundled + token


def unwrapped(source: Source) -> Source:
    """Return a file with bare names; itself if it has them, or if two would be one name."""
    bare = {bare_name(name): name for name in source.entries}
    same = all(name == bare.get(name) for name in source.entries)
    return source if same or len(bare) < len(source.entries) else Renamed(source, bare)


class Averaged(View):
    """A file without the running average of its weights, or with it in their place.

    `copy` says what the average of a weight is called, None of one that has none. Where the file
    has no average at all, its weights are as they are. Raises ValueError where it has half of one.
    """

    def __init__(
        self, source: Source, copy: Callable[[str], str | None], wanted: bool = True
    ) -> None:
        super().__init__(source)
        found = source.entries
        weights = [name for name in found if not name.startswith(AVERAGE)]
        copies = {name: average for name in weights if (average := copy(name)) is not None}
        missing = [average for average in copies.values() if average not in found]
        self.averaged = wanted and len(missing) < len(copies)
        if self.averaged and missing:
            raise ValueError(
                f"{source.path}: its running average lacks {missing[0]} and {len(missing) - 1} "
                "more; take the weights themselves (--no-ema-weights)"
            )
        self._names = {name: copies.get(name, name) if self.averaged else name for name in weights}
        self.entries: Mapping[str, Entry] = {n: found[name] for n, name in self._names.items()}

    def read(self, name: str) -> Tensor:
        """Return a weight, or its average."""
        return self._source.read(self._names[name])

    def drop(self, name: str) -> None:
        """Forget a tensor that was read and copied."""
        self._source.drop(self._names[name])


class Unpacked(View):
    """A file whose attentions have q, k and v in one `qkv`, as if it had `q`, `k` and `v`.

    The 3 C rows of qkv are q, k and v of the first head, then those of the second, and so on;
    `heads` returns the number of heads of an attention of C channels.
    """

    def __init__(self, source: Source, heads: Callable[[int], int]) -> None:
        super().__init__(source)
        self._heads = heads
        self.entries: dict[str, Entry] = {}
        self._whole: dict[str, tuple[str, int]] = {}  # name -> packed tensor, which third
        self._left: dict[str, set[str]] = {}  # packed tensor -> parts that were not read yet
        for name, entry in source.entries.items():
            head, packed, kind = name.rpartition(".qkv.")
            if not packed or not entry.shape or entry.shape[0] % 3:
                self.entries[name] = entry
                continue
            parts = [f"{head}.{letter}.{kind}" for letter in "qkv"]
            self._left[name] = set(parts)
            self._whole |= {part: (name, i) for i, part in enumerate(parts)}
            third = Entry(entry.dtype, (entry.shape[0] // 3, *entry.shape[1:]))
            self.entries |= dict.fromkeys(parts, third)

    def read(self, name: str) -> Tensor:
        """Return a tensor, or a copy of a third of one, which is let go of after its last third."""
        if name not in self._whole:
            return self._source.read(name)
        whole, i = self._whole[name]
        packed = self._source.read(whole)
        heads = self._heads(len(packed) // 3)
        part = packed.unflatten(0, (heads, 3, -1))[:, i].flatten(0, 1).clone()
        self._left[whole].discard(name)
        if not self._left[whole]:
            self._source.drop(whole)
        return part

    def drop(self, name: str) -> None:
        """Forget a tensor that was read and copied; thirds are copies already."""
        if name not in self._whole:
            self._source.drop(name)
