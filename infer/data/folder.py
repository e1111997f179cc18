"""A folder of images with captions, and a zip file of the same layout.

Captions come from one `metadata.jsonl` at the top (a line is one example: `file_name` relative to
the folder, `text`; a file named on several lines is as many examples), or for an image that no line
names from a `.txt` file beside it. The folder is read to any depth; files that start with a dot are
left alone, links to files are followed and links to folders are not. Names are the same however
their accents are composed (a Mac writes NFD), and a `file_name` may have backslashes. What is wrong
in the index (a bad line, a name that leaves the folder, a missing file, an image without caption)
is refused when the source is opened, what is wrong in a file when it is read.
A few lines over 300: both layouts, folder and zip, answer to the same rules.
"""

import io
import lzma
import random
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from latentgeo.core.run.text import utf8
from latentgeo.infer.data.images import SUFFIXES, Framing
from latentgeo.infer.data.items import (
    CAPTION_BYTES,
    BadItem,
    Example,
    Label,
    OnBad,
    Rejects,
    clean_caption,
    json_object,
    leaves_root,
    read_file,
    text_field,
)
from latentgeo.infer.data.names import (
    METADATA,
    by_spelling,
    files_below,
    is_inside,
    name_among,
    place_of,
    spelled,
)
from latentgeo.infer.data.where import Condition, all_hold

DAMAGED = (  # what reading a member of a zip file raises, of any compression or encrypted
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # and NotImplementedError
)


@dataclass(frozen=True)
class Entry:
    """One line of `metadata.jsonl`, or an image beside its caption file (`caption` is None)."""

    file_name: str
    caption: str | None
    attributes: dict[str, str] = field(default_factory=dict)
    split: str = ""


class Folder:
    """Map-style source over a folder: `len(source)` and `source.read(i)`."""

    def __init__(
        self,
        folder: Path,
        framing: Framing,
        on_bad: OnBad = "skip",
        *,
        split: str = "all",
        allow_uncaptioned: bool = False,
        where: Sequence[Condition] = (),
    ) -> None:
        """List the folder and read its metadata, keeping what meets `where` of a `split` (or all).

        An empty folder is a ValueError that names it.
        """
        if not folder.is_dir():
            raise FileNotFoundError(f"data: {folder}: no such folder")
        self.folder, self.framing, self.rejects = folder, framing, Rejects(on_bad)
        self.allow_uncaptioned, self.where = allow_uncaptioned, where
        files = set(files_below(folder, SUFFIXES))
        self.elsewhere = place_of(files_below(folder, (METADATA,)))
        self.texts = {spelled(name[:-4]): name for name in sorted(files_below(folder, (".txt",)))}
        self.entries, named = self._listed(files)
        if split == "all":
            self.entries += self._beside(sorted(files - named))
        self.entries = in_split(self.entries, split)
        if not self.entries:
            raise nothing_in(folder, split, self.rejects, where, self.elsewhere)
        if self.elsewhere:
            warnings.warn(f"{folder}: {self.elsewhere}", stacklevel=2)

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.rejects.count

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.entries)

    def label(self, i: int) -> Label:
        """Return what is said of example i; a caption that cannot be used raises `BadItem`."""
        entry = self.entries[i]
        caption = entry.caption
        if caption is None:
            caption = self._caption_beside(entry.file_name)
        return Label(entry.file_name, caption, entry.attributes, entry.split)

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return example i; an image or caption that cannot be used raises `BadItem`."""
        label = self.label(i)
        path = self.folder / label.name
        image = self.framing.tensor(read_file(path), str(path), draw)
        return Example(image, label.caption, label.name)

    def _listed(self, files: set[str]) -> tuple[list[Entry], set[str]]:
        path = self.folder / METADATA
        if not path.is_file():
            return [], set()
        rows, named = read_metadata(
            path.read_bytes(), str(path), self.rejects, self.allow_uncaptioned, self.where
        )
        known, entries = by_spelling(files), []
        for entry in rows:
            name = name_among(known, entry.file_name)
            if name in files or is_inside(self.folder / name, self.folder):
                entries.append(replace(entry, file_name=name))
            else:
                self.rejects.add(BadItem(str(self.folder / entry.file_name), "missing file"))
        named = {name_among(known, name) for name in named}
        return entries, named

    def _beside(self, names: Iterable[str]) -> list[Entry]:
        entries = []
        for name in names:
            path = self.folder / name
            if self.where:
                self.rejects.add(BadItem(str(path), "no metadata", f"for {self.where[0]}"))
            elif self._text_of(name):
                entries.append(Entry(name, None))
            elif self.allow_uncaptioned:
                entries.append(Entry(name, ""))
            else:
                self.rejects.add(BadItem(str(path), "no caption", self.elsewhere))
        return entries

    def _text_of(self, name: str) -> str | None:
        return self.texts.get(spelled(PurePosixPath(name).with_suffix("").as_posix()))

    def _caption_beside(self, name: str) -> str:
        path = self.folder / (self._text_of(name) or "")
        text = read_file(path, CAPTION_BYTES)
        return clean_caption(text, str(path), self.allow_uncaptioned)


class Zipped:
    """Map-style source over a zip file with `metadata.jsonl`; it stays compressed in memory."""

    def __init__(
        self,
        path: Path,
        framing: Framing,
        on_bad: OnBad = "skip",
        *,
        split: str = "all",
        allow_uncaptioned: bool = False,
        where: Sequence[Condition] = (),
    ) -> None:
        """Read the file and its metadata, keeping what meets `where` of one `split` (or all)."""
        self.path, self.framing, self.rejects = path, framing, Rejects(on_bad)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
            metadata = self._zip.read(METADATA)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file") from None
        except (zipfile.BadZipFile, KeyError) as error:
            where_else = place_of(self._zip.namelist()) if isinstance(error, KeyError) else ""
            why = where_else or error
            raise ValueError(f"{path}: not a zip file with {METADATA}: {why}") from None
        source = f"{path}/{METADATA}"
        rows, _ = read_metadata(metadata, source, self.rejects, allow_uncaptioned, where)
        known = by_spelling(self._zip.namelist())
        rows = [replace(entry, file_name=name_among(known, entry.file_name)) for entry in rows]
        self.entries = in_split(rows, split)
        if not self.entries:
            raise nothing_in(path, split, self.rejects, where)

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.rejects.count

    @property
    def captions(self) -> list[str]:
        """Captions of all examples."""
        return [entry.caption or "" for entry in self.entries]

    @property
    def attributes(self) -> list[dict[str, str]]:
        """Attributes of all examples; an empty dict where the metadata has none."""
        return [entry.attributes for entry in self.entries]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.entries)

    def label(self, i: int) -> Label:
        """Return what is said of example i."""
        entry = self.entries[i]
        return Label(entry.file_name, entry.caption or "", entry.attributes, entry.split)

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return example i; an image that cannot be used raises `BadItem`."""
        entry = self.entries[i]
        name = f"{self.path}/{entry.file_name}"
        try:
            data = self._zip.read(entry.file_name)
        except KeyError:
            raise BadItem(name, "missing file") from None
        except DAMAGED as error:
            raise BadItem(name, "unreadable file", str(error)) from None
        image = self.framing.tensor(data, name, draw)
        return Example(image, entry.caption or "", entry.file_name)


def in_split(entries: list[Entry], split: str) -> list[Entry]:
    """Return the entries whose `split` this is, or all of them for `all`."""
    return [entry for entry in entries if split in ("all", entry.split)]


def nothing_in(
    path: Path,
    split: str,
    rejects: Rejects,
    where: Sequence[Condition] = (),
    elsewhere: str = "",
) -> ValueError:
    """Return the error that says that a source is empty, and why, or where its captions are."""
    asked = "" if split == "all" else f" in the split {split!r}"
    asked += f" with {' and '.join(map(str, where))}" if where else ""
    asked = asked or f"; {METADATA} has them (file_name and text a line), or a .txt beside each"
    asked += f". {elsewhere}" if elsewhere else ""
    return ValueError(f"{path}: no image with a caption{asked}. {rejects.summary()}".strip())


def read_metadata(
    data: bytes,
    source: str,
    rejects: Rejects,
    allow_uncaptioned: bool,
    where: Sequence[Condition] = (),
) -> tuple[list[Entry], set[str]]:
    """Return the usable lines of a `metadata.jsonl` and every file name that any line has.

    A line that is not usable goes to `rejects`; blank lines, and what `where` leaves out, pass.
    Raises ValueError for a file that is no text of UTF-8 or its byte order mark's (`utf8`).
    """
    entries, named = [], set()
    lines = utf8(data, source).split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        line_at = f"{source}:{number}"
        try:
            row = json_object(line, line_at)
            named.add(file_name_of(row, line_at))
            entry = entry_of(row, line_at, allow_uncaptioned)
            if all_hold(where, {**row, **entry.attributes}, line_at):
                entries.append(entry)
        except BadItem as bad:
            rejects.add(bad)
    return entries, named


def file_name_of(row: dict[str, object], where: str) -> str:
    """Return the normalised relative path in `file_name`, or raise `BadItem`."""
    file_name = row.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        raise BadItem(where, "no file_name")
    if leaves_root(file_name):
        raise BadItem(where, "path leaves the folder", file_name)
    return PurePosixPath(file_name).as_posix()


def entry_of(row: dict[str, object], where: str, allow_uncaptioned: bool) -> Entry:
    """Return one line of `metadata.jsonl` as an entry, or raise `BadItem` naming file and line."""
    file_name = file_name_of(row, where)
    text = text_field(row, ("text",), where)
    if text is None and not allow_uncaptioned:
        raise BadItem(where, "no caption", file_name)
    attributes = row.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise BadItem(where, "attributes are not an object", file_name)
    return Entry(
        file_name=file_name,
        caption=clean_caption(text or "", where, allow_uncaptioned),
        attributes={str(key): str(value) for key, value in attributes.items()},
        split=str(row.get("split", "")),
    )
