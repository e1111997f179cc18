"""Names of files in data sets: where they are, and when two spellings are one name."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

METADATA = "metadata.jsonl"


def files_below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield the files below `folder` with these suffixes as relative paths with forward slashes."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield (Path(root) / name).relative_to(folder).as_posix()


def spelled(name: str) -> str:
    """Return a file's name in the spelling that names are compared in: NFC, forward slashes."""
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def by_spelling(names: Iterable[str]) -> dict[str, str]:
    """Return the names as they are by how they are spelled, and by themselves."""
    listed = sorted(names)
    return {spelled(name): name for name in listed} | {name: name for name in listed}


def name_among(known: Mapping[str, str], name: str) -> str:
    """Return which of the names `by_spelling` is meant; one that is not there as it is."""
    return known.get(name, known.get(spelled(name), name))


def place_of(names: Iterable[str]) -> str:
    """Return a sentence that says in which folder metadata is, if not at the top; else ''."""
    found = sorted(name for name in names if name.endswith(METADATA))
    if not found or METADATA in found:
        return ""
    more = f" and in {len(found) - 1} more; give one of them" if found[1:] else "; give that folder"
    return f"{METADATA} is in its folder {found[0].removesuffix(METADATA)}{more}"


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is a file that lies in `folder` when links are followed."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False
