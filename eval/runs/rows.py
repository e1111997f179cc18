"""Rows of a long measurement, on disk as they are finished, so that it can stop and go on.

A folder holds `settings.json` and a file of rows per rank, one JSON object to a line, known by a
key that is in it, such as the number of a prompt (`by_prompt`). Rows measured under other settings
are never mixed in: the settings must be equal.
"""

import json
import os
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import barrier, is_main, ranks
from latentgeo.core.run.text import read_text

Row = dict[str, object]
K = TypeVar("K", bound=Hashable)


def by_prompt(row: dict[str, Any]) -> int:
    """Return the number of a row's prompt."""
    return int(row["prompt"])


def open_rows(folder: Path, settings: Row, key: Callable[[Row], K]) -> dict[K, Row]:
    """Return the rows finished so far under these settings; every rank calls this.

    Raises ValueError where the folder holds rows of other settings, and names those that differ.
    """
    path = folder / "settings.json"
    settings = json.loads(json.dumps(settings))
    if is_main() and not path.is_file():
        atomic_write(path, json.dumps(settings, indent=2) + "\n")
    barrier()
    before = json.loads(read_text(path))
    if before != settings:
        every = before.keys() | settings.keys()
        names = sorted(name for name in every if before.get(name) != settings.get(name))
        raise ValueError(
            f"{folder} holds rows measured under other settings ({', '.join(names)}); "
            "choose another --out or remove it"
        )
    rows = read_rows(folder, key)
    barrier()  # nobody adds rows before everybody has read them
    return rows


def read_rows(folder: Path, key: Callable[[Row], K]) -> dict[K, Row]:
    """Return all whole rows of all ranks by key; a line cut short by a crash is passed over."""
    rows: dict[K, Row] = {}
    for path in sorted(folder.glob("rows-*.jsonl")):
        for line in path.read_text("utf-8").split("\n"):
            try:
                row = json.loads(line)
                rows[key(row)] = row
            except (ValueError, KeyError, TypeError):
                continue
    return rows


def append_rows(folder: Path, rows: Iterable[Row]) -> None:
    """Add this rank's rows and make them durable."""
    path = folder / f"rows-{ranks().rank}.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    with open(path, "ab+") as file:
        if file.tell() and _last_byte(file) != b"\n":
            text = "\n" + text  # ends a line that a crash cut short
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
