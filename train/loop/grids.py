"""Sample grids: a picture that shows a batch of images at a glance."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.files import atomic_write


def tile(images: Tensor, columns: int | None = None, gap: int = 2) -> Tensor:
    """Return one image (3, H', W') of images (N, 3, H, W) in [-1, 1], row by row, on white.

    Unless told, the columns are about as many as the rows, and even where the images are: pairs
    stay beside each other.
    """
    count, channels, height, width = images.shape
    each = 2 - count % 2
    columns = columns or each * max(round(count**0.5 / each), 1)
    rows = -(-count // columns)
    canvas = images.new_ones(channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for i in range(count):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[:, top : top + height, left : left + width] = images[i]
    return canvas


def save_grid(images: Tensor, path: Path, columns: int | None = None) -> Path:
    """Write images (N, 3, H, W) in [-1, 1] as one PNG file."""
    values = tile(images.detach().float().cpu(), columns).clamp(-1, 1)
    pixels = ((values + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return atomic_write(path, lambda file: Image.fromarray(pixels).save(file, format="PNG"))
