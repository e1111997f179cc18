"""From the bytes of an image file to a square uint8 tensor, or the reason why not.

Read as everywhere (infer/pictures/decoding.py), transparency on white. Refused, besides what has no
picture to read: a side below `min_side`, an aspect ratio above `max_aspect`, more than `max_pixels`
pixels (from the header, before decoding).

Framing: the largest square, centred or at a random place, resized by Lanczos with antialiasing.
That is the shorter side resized to `size` and a crop, without building the long side; an image
whose shorter side is `size` keeps its exact pixels.
"""

import io
import random
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from latentgeo.infer.data.items import BadItem
from latentgeo.infer.pictures.decoding import Unreadable, read_rgb

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


@dataclass
class Seen:
    """What the pictures lost or gained when they became squares of one size."""

    cut: int = 0  # pixels of the longer side, of the picture that lost the most
    largest: int = 0  # side of a square, before it was resized
    smallest: int | None = None

    def add(self, width: int, height: int) -> None:
        """Take one picture's size in pixels."""
        side = min(width, height)
        self.cut = max(self.cut, max(width, height) - side)
        self.largest = max(self.largest, side)
        self.smallest = side if self.smallest is None else min(self.smallest, side)


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a picture becomes a (3, size, size) tensor, and which pictures are refused."""

    size: int  # side of the result in pixels
    random_crop: bool = False  # place of the square along the longer side
    flip: bool = False  # mirror left to right with probability 1/2
    min_side: int = 8  # refuse anything smaller
    max_aspect: float = 8.0  # refuse longer side / shorter side above this
    max_pixels: int = 1 << 26  # refuse anything larger (8192 x 8192)
    seen: Seen = field(default_factory=Seen, compare=False, repr=False)  # of all pictures so far

    def __post_init__(self) -> None:
        """Check the values once, where they enter."""
        if self.size < 1 or self.min_side < 1 or self.max_aspect < 1 or self.max_pixels < 1:
            raise ValueError(
                f"size, min_side, max_aspect and max_pixels are at least 1: got {self}"
            )

    @property
    def draws(self) -> bool:
        """Whether the result depends on a draw."""
        return self.random_crop or self.flip

    def tensor(self, data: bytes, name: str, draw: random.Random | None = None) -> Tensor:
        """Return the picture in `data` as (3, size, size) uint8; no draw: centred, not flipped."""
        return fit(decode(data, name, self), self, draw)


def decode(data: bytes, name: str, framing: Framing) -> Image.Image:
    """Return the first frame of an image file as an upright RGB picture, or raise `BadItem`."""
    try:
        return read_rgb(io.BytesIO(data), name, check=lambda size: check_size(size, name, framing))
    except Unreadable as error:
        raise BadItem(error.name, error.reason, error.detail) from None


def check_size(size: tuple[int, int], name: str, framing: Framing) -> None:
    """Raise `BadItem` for a picture that is too small, too large or too long."""
    short, long = sorted(size)
    shape = f"{size[0]} x {size[1]}"
    if short * long > framing.max_pixels:
        raise BadItem(name, "too many pixels", f"{shape}, at most {framing.max_pixels} are read")
    if short < framing.min_side:
        raise BadItem(name, "too small", f"{shape}, at least {framing.min_side} a side")
    if long > framing.max_aspect * short:
        raise BadItem(name, "extreme aspect ratio", f"{shape}, at most {framing.max_aspect:g} : 1")


def fit(image: Image.Image, framing: Framing, draw: random.Random | None = None) -> Tensor:
    """Return a square of an RGB picture as (3, size, size) uint8."""
    width, height = image.size
    framing.seen.add(width, height)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if framing.random_crop and draw is not None:
        left, top = draw.randint(0, width - side), draw.randint(0, height - side)
    image = image.crop((left, top, left + side, top + side))
    if side != framing.size:
        image = image.resize((framing.size, framing.size), Image.Resampling.LANCZOS)
    if framing.flip and draw is not None and draw.random() < 0.5:
        image = ImageOps.mirror(image)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()  # (3, size, size)
