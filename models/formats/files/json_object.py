"""The JSON files in folders of diffusers and transformers: an object each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; FileNotFoundError or ValueError names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a diffusers folder has it")
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no JSON object")
    return found


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write an object as diffusers does: two spaces in, its keys in order."""
    atomic_write(path, json.dumps(table, indent=2, sort_keys=True) + "\n")
