"""From an image file to an upright picture of 8-bit RGB, or the reason why not: the one reader.

Training, inference, masks and measurements all read by it; a picture has the pixels of its 8-bit
twin. No stretch of contrast: a scale is known from the file, or the picture is refused.

Colour    1, L, P, RGB, HSV and YCbCr as they are; CMYK by Pillow's plain conversion, in JPEG
          inverted, as Adobe writes it and as every reader takes it; CIELAB by Little CMS, D50 to
          sRGB; embedded profiles and gamma are ignored
Alpha     straight or premultiplied, of a palette, or one colour of a PNG: laid on `paper`, so that
          what lies hidden under it plays no part
16 bits   grey of 16 bits is divided by 257, of 12 bits (TIFF) by 4095 / 255; a TIFF may have white
          at 0. Of colours of 16 bits Pillow keeps the upper byte, within one level of that
32 bits   mode I: values of 16 bits if the largest is above 255 or the format says so (PNM).
          Refused: a largest value of 1 to 255, which may be of 8 or of 16 bits, and any beyond
Floats    mode F: from 0 for black to 1 for white. Refused: anything beyond, of 255 or of light
Signed    TIFF of 8 or 16 bits with a sign: refused, for its white may be anything
Frames    the first of an animation; EXIF orientation is applied
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "PSD")
UNKNOWN = "pixels of unknown range"
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # their values

Size = tuple[int, int]  # width and height in pixels


class Unreadable(ValueError):
    """A file without a picture to use: `name` says which, `reason` is one of a few."""

    def __init__(self, name: str, reason: str, detail: str = "") -> None:
        """Keep the three parts; `detail` may hold what a decoder said."""
        super().__init__(f"{name}: {reason}" + (f" ({detail})" if detail else ""))
        self.name, self.reason, self.detail = name, reason, detail


def read_rgb(
    file: IO[bytes],
    name: str,
    paper: str = "white",
    check: Callable[[Size], None] = lambda size: None,
) -> Image.Image:
    """Return the first frame of an image file, upright, in 8-bit RGB, transparency on `paper`.

    `check` gets the size of the file's header and may raise before anything is decoded. Raises
    `Unreadable`, which names the file.
    """
    with _opened(file, name) as image:
        check(image.size)
        with _reasons(name):
            white, inverted = _scale(image, name)
            _scale_key(image, name)
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode[0] in "IF":
                upright = to_8_bits(upright, name, white, inverted)
            return to_rgb(upright, paper)


def read_labels(file: IO[bytes], name: str, count: int) -> Image.Image:
    """Return a file of part numbers, a byte per pixel: of modes L and P, which holds its indices.

    Raises `Unreadable` for another mode and for numbers that are not below `count`; it names the
    file.
    """
    with _opened(file, name) as image, _reasons(name):
        if image.mode not in ("L", "P"):
            wanted = "wanted part numbers of 8 bits, modes L or P"
            raise Unreadable(name, "not a mask of parts", f"got mode {image.mode}, {wanted}")
        last = int(np.asarray(image).max())
        if last >= count:
            raise Unreadable(name, "not a mask of parts", f"got {last}, wanted 0 to {count - 1}")
        return image.copy()


def _opened(file: IO[bytes], name: str) -> Image.Image:
    """Return the picture whose header is read and whose pixels are not."""
    if not file.seek(0, 2):
        raise Unreadable(name, "empty file")
    file.seek(0)
    Image.init()
    with _reasons(name):
        return Image.open(file, formats=[one for one in FORMATS if one in Image.OPEN])


@contextmanager
def _reasons(name: str) -> Iterator[None]:
    """Turn what a decoder raises into `Unreadable`."""
    try:
        yield
    except (Unreadable, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(name, "too many pixels", str(error)) from None
    except UnidentifiedImageError:
        known = f"known are {', '.join(FORMATS)}, and of these the pixels that Pillow reads"
        raise Unreadable(name, "not a supported image", known) from None
    except Exception as error:  # a decoder that is fed damaged bytes raises almost anything
        raise Unreadable(name, "damaged image", f"{type(error).__name__}: {error}") from None


def _scale(image: Image.Image, name: str) -> tuple[int | None, bool]:
    """Return the value of white in a grey picture, None if the file does not say, and its turn.

    True is a picture whose white is 0. Raises `Unreadable` for numbers with a sign.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS, (16,))[0]
    if SIGNED in tags.get(SAMPLE_FORMAT, ()) and bits < 32:
        raise Unreadable(name, UNKNOWN, f"{bits} bits with a sign, wanted without")
    known = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    white = 2**bits - 1 if known and image.mode != "F" else None
    return white, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _scale_key(image: Image.Image, name: str) -> None:
    """Bring a PNG's transparent grey to the scale of its pixels, which Pillow widens to 8 bits.

    Raises `Unreadable` for a colour of 16 bits, which its upper bytes alone do not tell apart.
    """
    tiles = getattr(image, "tile", [])
    if image.format != "PNG" or "transparency" not in image.info or not tiles:
        return
    stored = tiles[0][3]  # how the pixels are in the file
    if stored == "RGB;16B":
        raise Unreadable(name, "one transparent colour of 16 bits", "wanted 8 bits, or alpha")
    if stored in ("L;2", "L;4"):
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}[stored]


def to_8_bits(
    image: Image.Image, name: str, white: int | None = None, inverted: bool = False
) -> Image.Image:
    """Return a grey picture of 16 bits, 32 bits or floats (I;16, I, F) in mode L, or LA.

    `white` is the value of white, None if it is to be told by the rules at the head of this file;
    `inverted` says that black and white are exchanged. Raises `Unreadable` for an unknown range.
    """
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    top = white or (1 if image.mode == "F" else 0xFFFF)
    narrow = image.mode == "I" and white is None and 0 < high <= 0xFF
    if not (low >= 0 and high <= top) or narrow:
        kind, least = ("floating point", 0) if image.mode == "F" else ("32 bits", 256)
        wanted = f"wanted 0 to {top}" + (f", the largest at least {least}" if narrow else "")
        raise Unreadable(name, UNKNOWN, f"{kind} from {low:g} to {high:g}, {wanted}")
    share = 1 - values / top if inverted else values / top
    grey = Image.fromarray(np.rint(share * 255).astype(np.uint8))
    if (key := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def to_rgb(image: Image.Image, paper: str = "white") -> Image.Image:
    """Return a picture of 8 bits per channel, of any mode, in RGB, transparency on `paper`."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    straight = image.convert("LA") if image.mode == "La" else image
    sheet = Image.new("RGBA", image.size, paper)
    return Image.alpha_composite(sheet, straight.convert("RGBA")).convert("RGB")
