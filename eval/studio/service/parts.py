"""Pieces of the page as HTML: sheets of images to scrub through, files to keep, how a job goes.

Images are inside the page as the bytes of the commands' files, so that what is saved from the page
is what the command writes, and the page needs nothing from the machine's disk.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from latentgeo.eval.audit.article import anchor_of
from latentgeo.eval.page.report import text
from latentgeo.eval.studio.service.jobs import Seen
from latentgeo.infer.pictures.images import GAP, png_bytes
from latentgeo.infer.pictures.photos import open_photo

KINDS = {".png": "image/png", ".gif": "image/gif", ".json": "application/json"}
KINDS |= {".svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A grid of tiles in one PNG of a command's, and where in it they are, in pixels."""

    source: str  # data URI
    size: tuple[int, int]  # of the sheet
    tile: tuple[int, int]
    start: tuple[int, int]  # of the first tile
    gap: int  # between columns

    def tiles(self, row: int, column: int = 0) -> str:
        """Return a window on the tile of a row and column; `page.js` moves it along the row."""
        (width, height), (x, y) = self.tile, self.start
        step = (width + self.gap) / width
        left, top = x / width + column * step, (y + row * (height + GAP)) / height
        return (
            f'<div class="window" style="aspect-ratio: {width} / {height}"><img alt="" '
            f'src="{self.source}" data-left="{x / width}" data-step="{step}" style="width: '
            f'{self.size[0] / width:.6%}; left: {-left:.6%}; top: {-top:.6%}"></div>'
        )


def sheet(path: Path, rows: int, columns: int, tile: tuple[int, int], gap: int = 0) -> Sheet:
    """Return the sheet of a file that `grid` made: its labels are above and on the left."""
    width, height = open_photo(path).size
    start = (width - columns * (tile[0] + gap) + gap, height - rows * (tile[1] + GAP) + GAP)
    return Sheet(source=uri(path), size=(width, height), tile=tile, start=start, gap=gap)


def uri(path: Path) -> str:
    """Return a file as an address that holds it."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f"data:{KINDS[path.suffix]};base64,{data}"


def scrubber(
    windows: Sequence[tuple[str, str]], marks: Sequence[str], below: str = "", at: int = 0
) -> str:
    """Return windows, each with its caption, side by side over one slider with these positions.

    `at` is the position of the windows as they are given.
    """
    last = len(marks) - 1
    data = text("\n".join(marks)).replace('"', "&quot;")
    return (
        f'<div class="scrub" data-marks="{data}">{side_by_side(windows)}'
        f'<label class="slide"><input type="range" min="0" max="{last}" value="{at}" '
        f'aria-label="place"><output>{text(marks[at])}</output></label>{below}</div>'
    )


def side_by_side(figures: Sequence[tuple[str, str]]) -> str:
    """Return pieces of HTML beside each other, each with a caption of plain text."""
    parts = "".join(f"<figure>{one}<figcaption>{text(name)}</figcaption></figure>"
                    for one, name in figures)  # fmt: skip
    return f'<div class="side" style="--n: {len(figures)}">{parts}</div>'


def picture(path: Path, alt: str) -> str:
    """Return an image of a file."""
    return f'<img class="picture" src="{uri(path)}" alt="{text(alt)}">'


def to_keep(paths: Sequence[Path] | Mapping[str, Path]) -> str:
    """Return links that save files, under their own names or those that a mapping has."""
    named = paths if isinstance(paths, Mapping) else {path.name: path for path in paths}
    links = (f'<a download="{text(name)}" href="{uri(path)}">{text(name)}</a>'
             for name, path in named.items())  # fmt: skip
    return f'<p class="keep">to keep: {" ".join(links)}</p>'


def chooser(tab: str, *slots: str) -> str:
    """Return a place for an image from the user's disk for each slot; `page.js` reads the files."""
    places = (f'<label class="file" data-tab="{tab}" data-slot="{slot}"><span>{text(slot)}</span>'
              '<input type="file" accept="image/*"><img alt="" hidden></label>'
              for slot in slots)  # fmt: skip
    return f'<div class="side">{"".join(places)}</div>'


def canvas(tab: str) -> str:
    """Return a place where points are set on an image and what must stay is painted."""
    modes = (("point", "from, to"), ("paint", "paint what must stay"), ("wipe", "wipe off"))
    radios = "".join(f'<label><input type="radio" name="{tab}-mode" value="{mode}"'
                     f'{" checked" if mode == "point" else ""}> {label}</label>'
                     for mode, label in modes)  # fmt: skip
    return (
        f'<div class="canvas" data-tab="{tab}"><div class="modes">{radios}'
        '<button type="button">clear</button></div><div class="stack"><img alt="" hidden>'
        '<canvas width="1" height="1"></canvas><svg></svg></div></div>'
    )


def of_picture(found: Image.Image, alt: str) -> str:
    """Return a picture as an image."""
    data = base64.b64encode(png_bytes(found)).decode()
    return f'<img class="picture" src="data:image/png;base64,{data}" alt="{text(alt)}">'


def why(tags: Sequence[str]) -> str:
    """Return links to equations of the audit page."""
    links = (f'<a target="_blank" href="equations#{anchor_of(tag)}">{text(tag)}</a>'
             for tag in tags)  # fmt: skip
    return f'<p class="why">why this works: {" ".join(links)}</p>'


def status(seen: Seen) -> str:
    """Return how a job goes: a bar with words, or a sentence about what went wrong."""
    said = "".join(f'<p class="warning">{text(one)}</p>' for one in seen.said)
    if seen.error:
        return f'{said}<p class="error" role="alert">{text(seen.error)}</p>'
    value = "" if seen.share is None else f' value="{seen.share:.3f}"'
    return f'{said}<p class="going"><progress max="1"{value}></progress>{text(seen.text)}</p>'
