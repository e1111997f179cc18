"""Images on their way in: files to tensors in [-1, 1], of a size that a model can take."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from latentgeo.core.run.limits import check_size, nearest
from latentgeo.infer.pictures.decoding import Size, Unreadable, read_rgb


def read_photo(path: Path, cell: int, size: int | None = None) -> Tensor:
    """Return an image (1, 3, H, W) in [-1, 1], float32 on the CPU, turned as its camera says.

    Its own size, whose sides must be multiples of `cell` pixels; or `size` × `size`, cut from its
    middle and scaled. Raises FileNotFoundError where there is none, and ValueError that names the
    file where it is no image, is cut short or does not fit.
    """
    picture = open_photo(path)
    if size is not None:
        check_size(size, cell)
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    width, height = picture.size
    if any(side < cell or side % cell for side in picture.size):
        raise ValueError(
            f"{path}: got {width} × {height} pixels, wanted positive multiples of {cell}: width "
            f"{nearest(width, cell)}, height {nearest(height, cell)}; --size cuts and scales"
        )
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1


def read_photos(paths: list[Path], cell: int, size: int | None = None) -> Tensor:
    """Return images (B, 3, H, W) as `read_photo` does; ValueError unless all have one size."""
    photos = [read_photo(path, cell, size) for path in paths]
    if len({photo.shape for photo in photos}) > 1:
        sizes = ", ".join(f"{photo.shape[3]} × {photo.shape[2]}" for photo in photos)
        raise ValueError(f"images must have one size, got {sizes} pixels; --size cuts and scales")
    return torch.cat(photos)


def photo_hash(photo: Tensor) -> str:
    """Return the SHA-256 (hex) of an image (1, 3, H, W) in [-1, 1]: its shape and 8-bit pixels."""
    levels = ((photo + 1) * 127.5).round().to(torch.uint8).contiguous()
    return hashlib.sha256(f"{tuple(photo.shape)}".encode() + levels.numpy().tobytes()).hexdigest()


def open_photo(
    path: Path, paper: str = "white", check: Callable[[Size], None] = lambda size: None
) -> Image.Image:
    """Return an image file as RGB, turned as its camera says, transparency on `paper`.

    Raises as `read_photo` does, and what `check` raises of the size in its header.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image")
    try:
        with path.open("rb") as file:
            return read_rgb(file, str(path), paper, check)
    except Unreadable as error:
        why = f"{error.reason} ({error.detail})" if error.detail else error.reason
        raise ValueError(f"{path}: not an image that can be read: {why}") from None
