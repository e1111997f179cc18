"""Images on their way out: PNG with the settings that made it, grids, strips and GIF.

Tensors are (B, 3, H, W) or (3, H, W) in [-1, 1], as everywhere; pictures are PIL images. A PNG
carries its settings as text chunks (`latentgeo` holds all of them as JSON), so that a file found
later still says what made it. Files are replaced atomically: a reader never sees half of one.
"""

import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from latentgeo.core.run.files import atomic_write

TILE = 96  # smallest side of a tile in a grid, in pixels; smaller images are enlarged
GAP = 4  # pixels between tiles
FONT_SIZE = 12  # pixels
PAPER, INK = (255, 255, 255), (32, 32, 32)
KEY = "latentgeo"  # the text chunk that holds every setting as JSON

Metadata = Mapping[str, object]


def to_picture(image: Tensor) -> Image.Image:
    """Return an RGB picture of one image (3, H, W) in [-1, 1]; values outside are clipped.

    Raises ValueError for another shape.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image: got shape {tuple(image.shape)}, wanted (3, H, W)")
    levels = ((image.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def png_bytes(picture: Image.Image, metadata: Metadata | None = None) -> bytes:
    """Return the picture as PNG, each setting also as its own text chunk."""
    info = PngInfo()
    if metadata is not None:
        info.add_itxt(KEY, json.dumps(dict(metadata)))
        for key, value in metadata.items():
            info.add_itxt(key, value if isinstance(value, str) else json.dumps(value))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def save_png(path: Path, picture: Image.Image, metadata: Metadata | None = None) -> Path:
    """Write the picture and its settings; a file of that name is replaced atomically."""
    atomic_write(path, png_bytes(picture, metadata))
    return path


def read_metadata(path: Path) -> dict[str, object]:
    """Return the settings that `save_png` stored; ValueError if the file holds none."""
    with Image.open(path) as picture:
        text = getattr(picture, "text", {}).get(KEY)
    if text is None:
        raise ValueError(f"{path}: holds no {KEY} settings")
    settings: dict[str, object] = json.loads(text)
    return settings


def save_gif(path: Path, pictures: Sequence[Image.Image], seconds: float = 2.0) -> Path:
    """Write an endless animation that runs there in `seconds` and back again.

    Raises ValueError for fewer than two pictures.
    """
    if len(pictures) < 2:
        raise ValueError(f"pictures: got {len(pictures)}, wanted at least 2 frames")
    frames = [enlarge(picture) for picture in [*pictures, *pictures[-2:0:-1]]]
    buffer = io.BytesIO()
    duration = max(20, round(1000 * seconds / len(pictures)))  # ms; browsers slow below 20
    frames[0].save(
        buffer, format="GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0
    )
    atomic_write(path, buffer.getvalue())
    return path


def enlarge(picture: Image.Image, smallest: int = TILE) -> Image.Image:
    """Return the picture at the smallest whole multiple whose shorter side reaches `smallest`."""
    zoom = max(1, math.ceil(smallest / min(picture.size)))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def grid(
    rows: Sequence[Sequence[Image.Image]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    gap: int = GAP,
) -> Image.Image:
    """Return rows of tiles as one picture, labelled left and above, captioned below each.

    `gap` is between the columns, 0 as the papers print a walk; rows are always apart. Raises
    ValueError unless there are tiles, all of one size, and the labels fit them.
    """
    _check_grid(rows, row_labels, column_labels, captions)
    tiles = [[enlarge(tile) for tile in row] for row in rows]
    width, height = tiles[0][0].size
    columns = max(len(row) for row in tiles)
    text = [[_wrap(line, width) for line in row] for row in captions]
    below = [max((_height(cell) for cell in row), default=0) for row in text] or [0] * len(tiles)
    heads = [_wrap(label, width) for label in column_labels]
    top = max((_height(head) for head in heads), default=0)
    left = max((_width(label) + 2 * GAP for label in row_labels), default=0)

    size = (
        left + columns * (width + gap) - gap,
        top + sum(height + extra + GAP for extra in below) - GAP,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        _write(draw, (left + column * (width + gap), 0), head)
    y = top
    for index, row in enumerate(tiles):
        if row_labels:
            _write(draw, (GAP, y + (height - _height(row_labels[index])) // 2), row_labels[index])
        for column, tile in enumerate(row):
            x = left + column * (width + gap)
            sheet.paste(tile, (x, y))
            if text:
                _write(draw, (x, y + height), text[index][column])
        y += height + below[index] + GAP
    return sheet


def _check_grid(
    rows: Sequence[Sequence[Image.Image]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    captions: Sequence[Sequence[str]],
) -> None:
    """Raise ValueError unless there are tiles, all of one size, and the labels fit them."""
    sizes = {tile.size for row in rows for tile in row}
    if not rows or not all(rows) or len(sizes) != 1:
        raise ValueError(f"rows: got tile sizes {sorted(sizes)}, wanted non-empty rows of one size")
    if row_labels and len(row_labels) != len(rows):
        raise ValueError(f"row_labels: got {len(row_labels)}, wanted {len(rows)}")
    if column_labels and len(column_labels) != max(len(row) for row in rows):
        raise ValueError(f"column_labels: got {len(column_labels)}, wanted one per column")
    if captions and [len(row) for row in captions] != [len(row) for row in rows]:
        raise ValueError("captions: wanted one per tile")


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, so that no system font is needed."""
    return ImageFont.load_default(FONT_SIZE)


def _width(text: str) -> int:
    """Width of the text's longest line in pixels."""
    return max((math.ceil(_font().getlength(line)) for line in text.split("\n")), default=0)


def _height(text: str) -> int:
    """Height of the text's lines in pixels, with a margin; 0 for no text."""
    return (text.count("\n") + 1) * (FONT_SIZE + 3) + GAP if text else 0


def _wrap(text: str, width: int) -> str:
    """Break the text into lines that fit a width in pixels."""
    letters = max(4, int(width / (FONT_SIZE * 0.52)))
    return "\n".join(textwrap.wrap(text, letters))


def _write(draw: ImageDraw.ImageDraw, where: tuple[int, int], text: str) -> None:
    """Draw the text with its top left corner there."""
    draw.multiline_text((where[0] + 1, where[1] + 1), text, fill=INK, font=_font(), spacing=3)


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with their numbers before them where two are equal."""
    alike = len(set(names)) < len(names)
    return [f"{i}-{name}" if alike else name for i, name in enumerate(names)]
