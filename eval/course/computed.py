"""What a chapter's script computes, and the files that it is kept in beside the text.

Numbers    `numbers.json`, by the key that the text calls each by
Pictures   `name.svg` or `name.png`; what an SVG draws in `currentColor` is dark on light pages and
           light on dark ones
Frames     `name.frames.png`, rows of frames of one size, `COLUMNS` in each at most; their captions
           are in `numbers.json`

A script is `eval/course/scripts/<name>.py` with `compute(*, quick: bool) -> Computed`. Importing
this module imports no torch.
"""

from __future__ import annotations

import importlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

NUMBERS = "numbers.json"
COLUMNS = 6  # frames in a row, at most
DIGITS = 10  # of a number that is kept
COLOURS = 64  # of a picture that is kept
INK = (
    "<style>svg { color: #1d1d1f } "
    "@media (prefers-color-scheme: dark) { svg { color: #ececf0 } }</style>"
)


@dataclass(frozen=True, kw_only=True)
class Computed:
    """What a script found: numbers by key, pictures by name, frames by name and caption."""

    numbers: Mapping[str, float]
    pictures: Mapping[str, str | Image.Image] = field(default_factory=dict)  # SVG, or an image
    frames: Mapping[str, Mapping[str, Image.Image]] = field(default_factory=dict)  # of one size


def compute(script: str, quick: bool) -> Computed:
    """Run a chapter's script; `quick` is for a look, and its numbers are not the text's."""
    found: Computed = importlib.import_module(f"latentgeo.eval.course.scripts.{script}").compute(
        quick=quick
    )
    return found


def files(computed: Computed) -> dict[str, bytes]:
    """Return the files that keep what was computed, by name: the same bytes for the same results.

    Raises ValueError for a number that is not finite, and for frames of several sizes.
    """
    about = {
        "numbers": {
            key: float(f"{float(value):.{DIGITS}g}") for key, value in computed.numbers.items()
        },
        "frames": {name: list(frames) for name, frames in computed.frames.items()},
    }
    found = {
        NUMBERS: (json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    }
    for name, picture in computed.pictures.items():
        drawn = isinstance(picture, str)
        found[f"{name}.svg" if drawn else f"{name}.png"] = (
            themed(picture).encode() if isinstance(picture, str) else _png(picture)
        )
    for name, frames in computed.frames.items():
        found[f"{name}.frames.png"] = _png(strip(list(frames.values()), name))
    return found


def kept(files: Mapping[str, bytes]) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Return the numbers by key, and the captions of frames by name, of files that were kept."""
    about: dict[str, Any] = json.loads(files[NUMBERS])
    return about["numbers"], about["frames"]


def strip(frames: Sequence[Image.Image], name: str) -> Image.Image:
    """Return frames of one size as one picture, row by row; ValueError where sizes differ."""
    width, height = frames[0].size
    if sizes := {frame.size for frame in frames} - {(width, height)}:
        raise ValueError(f"frames {name}: got {width} x {height} and {sizes}, wanted one size")
    columns, rows = layout(len(frames))
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for place, frame in enumerate(frames):
        sheet.paste(frame, (place % columns * width, place // columns * height))
    return sheet


def layout(count: int) -> tuple[int, int]:
    """Return how many columns and rows so many frames are in."""
    rows = -(-count // COLUMNS)
    return -(-count // rows), rows


def themed(svg: str) -> str:
    """Return an SVG whose `currentColor` follows the page that shows it, in few bytes.

    Places keep two decimals; what a reader does not see is left out.
    """
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*\n\s*", " ", re.sub(r">\s+<", "><", svg))
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + INK + svg[start:]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
