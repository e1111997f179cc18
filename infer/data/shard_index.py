"""The samples of one tar shard, found from its headers alone.

Members that share a name up to its first dot are a sample: one image member (`.jpg`, `.png`,
`.webp`, ...) and its caption in `.txt`, or in `.json` under `text` or `caption`; other members are
ignored. Where that leaves no image, an image and a caption that share a name up to its last dot are
one (`22.05.png`, `22.05.txt`). Accents may be composed or not. Conditions on the fields of `.json`
(infer/data/where.py) leave samples out. Nothing is unpacked. Members that are links, or whose path
leaves the archive, are refused by name. Of a damaged or truncated shard the samples before the
damage are used, and the damage is reported.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from latentgeo.infer.data.images import SUFFIXES
from latentgeo.infer.data.items import (
    BadItem,
    Rejects,
    clean_caption,
    json_object,
    leaves_root,
    text_field,
)
from latentgeo.infer.data.names import spelled
from latentgeo.infer.data.where import Condition, all_hold

JSON_BYTES = 1 << 20  # of a sample's metadata
Span = tuple[int, int]  # offset in the shard, number of bytes


@dataclass(frozen=True)
class Sample:
    """Where an example lies in its shard: the spans of image and caption."""

    name: str
    image: Span
    caption: Span | None
    is_json: bool


def index_shard(
    path: Path,
    rejects: Rejects,
    allow_uncaptioned: bool = False,
    where: Sequence[Condition] = (),
) -> list[Sample]:
    """Return the samples of a tar file that meet `where`, in the order of their first members."""
    groups: dict[str, dict[str, Span]] = {}
    try:
        for member in members(path):
            try:
                add_member(groups, member, path)
            except BadItem as bad:
                rejects.add(bad)
        groups = parted(groups)
        if where:
            groups = meeting(where, groups, path, rejects)
    except BadItem as bad:
        rejects.add(bad)
    samples = []
    for key, parts in groups.items():
        try:
            samples.append(sample_of(key, parts, path, allow_uncaptioned))
        except BadItem as bad:
            rejects.add(bad)
    return samples


def members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar file; raise `BadItem` if it does not end as a tar file does."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            size = path.stat().st_size
            for member in tar:
                if member.offset_data + (member.size if member.isreg() else 0) > size:
                    raise BadItem(str(path), "truncated shard", f"inside {member.name}")
                yield member
            file.seek(tar.offset)  # where the two zero blocks begin
            block = file.read(tarfile.BLOCKSIZE)
    except BadItem:
        raise
    except OSError as error:
        raise BadItem(str(path), "unreadable shard", str(error)) from None
    except Exception as error:  # headers of damaged bytes raise almost anything
        raise BadItem(str(path), "damaged shard", f"{type(error).__name__}: {error}") from None
    if len(block) < tarfile.BLOCKSIZE:
        raise BadItem(str(path), "truncated shard", "the end-of-archive mark is missing")
    if block.strip(b"\0"):
        raise BadItem(str(path), "damaged shard", f"no header at byte {tar.offset}")


def add_member(groups: dict[str, dict[str, Span]], member: tarfile.TarInfo, path: Path) -> None:
    """File a member under its sample's key, or raise `BadItem` for one that must not be there."""
    name = f"{path}/{member.name}"
    if leaves_root(member.name):
        raise BadItem(name, "path leaves the archive")
    if member.isdir():
        return
    if not member.isreg() or member.issparse():
        raise BadItem(name, "link or special file")
    inner = PurePosixPath(member.name)
    key, dot, suffix = inner.name.partition(".")
    if not key or not dot:  # hidden files and files without suffix carry no sample
        return
    parts = groups.setdefault(spelled((inner.parent / key).as_posix()), {})
    if suffix.lower() in parts:
        raise BadItem(name, "name occurs twice")
    parts[suffix.lower()] = (member.offset_data, member.size)


def parted(groups: dict[str, dict[str, Span]]) -> dict[str, dict[str, Span]]:
    """Return the groups, those without an image parted by their names up to the last dot.

    Only where both an image and its caption have such a name: else a group stays as it is.
    """
    found: dict[str, dict[str, Span]] = {}
    for key, parts in groups.items():
        by_last: dict[str, dict[str, Span]] = {}
        for suffix, span in parts.items():
            stem, dot, last = suffix.rpartition(".")
            by_last.setdefault(f"{key}.{stem}" if dot else key, {})[last] = span
        whole = {
            longer: part
            for longer, part in by_last.items()
            if image_in(part) and part.keys() & {"txt", "json"}
        }
        found |= {key: parts} if image_in(parts) or not whole else whole
    return found


def image_in(parts: dict[str, Span]) -> str | None:
    """Return the suffix of a sample's first image, None if it has none."""
    return next((suffix for suffix in parts if f".{suffix}" in SUFFIXES), None)


def sample_of(key: str, parts: dict[str, Span], path: Path, allow_uncaptioned: bool) -> Sample:
    """Return the sample that members with one key make, or raise `BadItem` for what is missing."""
    image = image_in(parts)
    if image is None:
        longer = [suffix for suffix in parts if f".{suffix}".endswith(SUFFIXES)]
        cut = f"{key}.{longer[0]} is cut at its first dot; rename it" if longer else ""
        raise BadItem(f"{path}/{key}", "no image", cut)
    caption = parts.get("txt", parts.get("json"))
    if caption is None and not allow_uncaptioned:
        raise BadItem(f"{path}/{key}", "no caption")
    return Sample(f"{key}.{image}", parts[image], caption, "txt" not in parts and "json" in parts)


def meeting(
    where: Sequence[Condition],
    groups: dict[str, dict[str, Span]],
    path: Path,
    rejects: Rejects,
) -> dict[str, dict[str, Span]]:
    """Return the groups whose `.json` member meets every condition.

    A group that lacks the field goes to `rejects`; raises `BadItem` for a file that is unreadable.
    """
    kept = {}
    try:
        with path.open("rb") as file:
            for key, parts in groups.items():
                try:
                    if all_hold(where, fields_of(file, parts, f"{path}/{key}"), f"{path}/{key}"):
                        kept[key] = parts
                except BadItem as bad:
                    rejects.add(bad)
    except OSError as error:
        raise BadItem(str(path), "unreadable file", str(error)) from None
    return kept


def fields_of(file: BinaryIO, parts: dict[str, Span], name: str) -> dict[str, object]:
    """Return the fields of a sample's `.json` member, or raise `BadItem`."""
    if "json" not in parts:
        raise BadItem(name, "no metadata", "a .json member is wanted")
    return json_object(read_span(file, parts["json"], JSON_BYTES, name), name)


def read_span(file: BinaryIO, span: Span, limit: int, name: str) -> bytes:
    """Return the bytes of a span of an open shard; more than `limit` of them raise `BadItem`."""
    offset, size = span
    if size > limit:
        raise BadItem(name, "file too large", f"{size} bytes, at most {limit} are read")
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise BadItem(name, "truncated shard", f"{size} bytes wanted, {len(data)} are there")
    return data


def caption_of(text: bytes, is_json: bool, name: str, allow_uncaptioned: bool) -> str:
    """Return the caption in a `.txt` or `.json` member; `BadItem` where there is none to use."""
    if not is_json:
        return clean_caption(text, name, allow_uncaptioned)
    caption = text_field(json_object(text, name), ("text", "caption"), name)
    if caption is None and not allow_uncaptioned:
        raise BadItem(name, "no caption")
    return clean_caption(caption or "", name, allow_uncaptioned)
