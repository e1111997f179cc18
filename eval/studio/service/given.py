"""What the page sends besides its controls: images from the user's disk, points, painted masks.

It comes as JSON, `{slot: {"name": …, "data": "data:…;base64,…"}, "points": [[x, y, x, y], …]}`, and
is trusted in nothing: a name loses its folders, bytes and pixels are limited, and an image is only
ever decoded (infer/pictures/decoding.py).
"""

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

from latentgeo.infer.pictures.decoding import Size
from latentgeo.infer.pictures.photos import open_photo

MOST_BYTES = 16 * 2**20  # of an image's file
MOST_PIXELS = 2**24


class Given:
    """What came with a request."""

    def __init__(self, text: str) -> None:
        """Read it; ValueError for what no page sends."""
        try:
            self.parts: dict[str, Any] = json.loads(text or "{}")
            self.points = [tuple(map(float, row)) for row in self.parts.get("points", [])]
            wrong = any(len(row) != 4 for row in self.points)
        except (ValueError, TypeError, AttributeError):
            wrong = True
        if wrong:
            raise ValueError("the page sent what it never sends; load it again")

    def needed(self, slot: str, folder: Path) -> Path:
        """Return what `image` does; ValueError where none came."""
        path = self.image(slot, folder)
        if path is None:
            raise ValueError(f"{slot}: got none, wanted an image's file")
        return path

    def image(self, slot: str, folder: Path) -> Path | None:
        """Write an image under its own name to a folder and return its path; None if none came.

        Raises ValueError in the words of the commands for what is no image, or is too large.
        """
        part = self.parts.get(slot)
        if part is None:
            return None
        try:
            name, data = safe_name(str(part["name"])), str(part.get("data", "")).partition(",")[2]
            content = base64.b64decode(data, validate=True)
            size = max(len(content), int(part.get("size", 0)))  # too large a file comes as its size
        except (binascii.Error, AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{slot}: the page sent no file; choose it again") from None
        if size > MOST_BYTES:
            most = MOST_BYTES // 2**20
            raise ValueError(f"{name}: got {size / 2**20:.1f} MiB, wanted at most {most}")
        path = folder / name
        while path.exists():  # two files of one name, from two folders of the user's
            path = path.with_name(f"other-{path.name}")
        path.write_bytes(content)
        open_photo(path, check=lambda size: few_pixels(name, size))
        return path


def few_pixels(name: str, size: Size) -> None:
    """Raise ValueError for an image of more pixels than the page takes."""
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(
            f"{name}: got {size[0]} × {size[1]} pixels, wanted at most {MOST_PIXELS} in all"
        )


def safe_name(name: str) -> str:
    """Return a file's name without folders and without what shells and systems read into names."""
    plain = re.sub(r"[^\w. -]", "_", name.replace("\\", "/").rpartition("/")[2])
    return plain.strip(". -")[-100:] or "image"
