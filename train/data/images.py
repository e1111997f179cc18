"""From the bytes of an image file to a square uint8 tensor, or the reason why not.

Converted: CMYK and YCbCr (Pillow's plain conversion, colour profiles are ignored), palettes, grey
and 1-bit images, transparency (composited on white), animations (the first frame), 16 bits per
channel (scaled to 8), EXIF orientation (applied). Refused: damaged or truncated data, formats other
than `FORMATS`, pixels whose range is unknown (floating point, 32 bits), a side below `min_side`, an
aspect ratio above `max_aspect`, more than `max_pixels` pixels (from the header, before decoding).

Framing: the largest square, centred or at a random place, resized by Lanczos with antialiasing.
That is the shorter side resized to `size` and a crop, without building the long side; an image
whose shorter side is `size` keeps its exact pixels.
"""

import io
import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from latentgeo.train.data.items import BadItem

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a picture becomes a (3, size, size) tensor, and which pictures are refused."""

    size: int  # side of the result in pixels
    random_crop: bool = False  # place of the square along the longer side
    flip: bool = False  # mirror left to right with probability 1/2
    min_side: int = 8  # refuse anything smaller
    max_aspect: float = 8.0  # refuse longer side / shorter side above this
    max_pixels: int = 1 << 26  # refuse anything larger (8192 x 8192)

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
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.size, name, framing)
            image.load()
            return to_rgb(ImageOps.exif_transpose(image), name)
    except BadItem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadItem(name, "too many pixels", str(error)) from None
    except UnidentifiedImageError:
        reason = "not a supported image" if data else "empty file"
        raise BadItem(name, reason, f"known are {', '.join(FORMATS)}" if data else "") from None
    except MemoryError:
        raise
    except Exception as error:  # a decoder that is fed damaged bytes raises almost anything
        raise BadItem(name, "damaged image", f"{type(error).__name__}: {error}") from None


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


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Return the picture in 8-bit RGB, transparency on white; `BadItem` for an unknown range."""
    if image.mode == "F":
        raise BadItem(name, "pixels of unknown range", "floating point")
    if image.mode.startswith("I"):
        image = from_16_bits(image, name)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def from_16_bits(image: Image.Image, name: str) -> Image.Image:
    """Return a grey image of 16 bits per pixel (modes I;16 and I) with 8 bits.

    Raises `BadItem` for values beyond 16 bits.
    """
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise BadItem(name, "pixels of unknown range", "32 bits")
    return Image.fromarray(((values * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))


def fit(image: Image.Image, framing: Framing, draw: random.Random | None = None) -> Tensor:
    """Return a square of an RGB picture as (3, size, size) uint8."""
    width, height = image.size
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
