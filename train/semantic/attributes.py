"""Attributes to learn: pairs of texts, from the command line or a file, with their weights."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from latentgeo.core.run.config import nearest
from latentgeo.core.run.text import read_text

KINDS: Mapping[str, tuple[type, str]] = {  # other keys have numbers
    "source": (str, "text"),
    "target": (str, "text"),
    "t_edit": (int, "an integer"),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One attribute; None is as the run has it."""

    name: str
    source: str
    target: str
    t_edit: int | None = None
    clip_weight: float | None = None
    recon_weight: float | None = None


def read_attributes(path: Path) -> list[Wanted]:
    """Return the attributes of a TOML or JSON file, tables by name.

    Raises FileNotFoundError, or ValueError that names the file and what in it is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"attributes: no such file: {path}")
    text = read_text(path)
    try:
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not valid: {error}") from None
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path}: wanted a table by name, with source and target")
    return [_wanted(path, name, row) for name, row in content.items()]


def _wanted(path: Path, name: str, row: object) -> Wanted:
    known = {field.name for field in fields(Wanted)} - {"name"}
    if not isinstance(row, Mapping):
        raise ValueError(f"{path}: {name} is {row!r}, wanted a table with source and target")
    for key, value in row.items():
        if key not in known:
            raise ValueError(f"{path}: {name}: unknown key {key!r}{nearest(key, known)}")
        kinds, kind = KINDS.get(key, (int | float, "a number"))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{path}: {name}: {key} is {value!r}, wanted {kind}")
    if missing := {"source", "target"} - row.keys():
        raise ValueError(f"{path}: {name}: {min(missing)} is missing")
    if not name or Path(name).name != name:
        raise ValueError(f"{path}: {name!r} cannot be the name of a file")
    return Wanted(name=name, **row)
