"""The image, the points and the mask of a drag: from files and words, to sizes a model can take.

A model halves an image several times, so its sides must be multiples of a number of pixels. Other
images are continued beyond their right and lower edges by their last pixels, which the mask keeps,
and the result is cut back: points need no change.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from latentgeo.core.run.text import read_text
from latentgeo.infer.pictures.photos import open_photo
from latentgeo.infer.sampling.pipeline import cell
from latentgeo.models.bundles.text_to_image import TextToImage

Point = tuple[float, float]
EDITABLE = 128  # of 255: what is at least as bright in a mask's picture may change


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as it was given and as the model sees it; `size` are (height, width) in pixels."""

    image: Tensor  # (1, 3, H, W) in [-1, 1], scaled and continued
    given: tuple[int, int]  # of the file
    scaled: tuple[int, int]  # before it was continued

    @property
    def scale(self) -> Tensor:
        """(2,), by which x and y of a point in the file are multiplied (core/drag.rescale)."""
        return torch.tensor(
            [self.scaled[1] / self.given[1], self.scaled[0] / self.given[0]], dtype=torch.float64
        )

    def cut(self, image: Tensor) -> Tensor:
        """Return an image (3, H, W) of the model's size without what was continued."""
        return image[:, : self.scaled[0], : self.scaled[1]]

    def mask(self, path: Path | None) -> Tensor:
        """Return M (H, W) of a mask's file, white where the image may change; None is everywhere.

        What is transparent is kept, whatever colour it hides. Warns of a mask that keeps no pixel;
        raises ValueError if the picture is not of the image's size, or keeps every pixel.
        """
        if path is None:
            levels = torch.full(self.given, 255.0)
        else:
            levels = torch.from_numpy(np.array(open_photo(path, "black").convert("L"))).float()
        if tuple(levels.shape) != self.given:
            got, wanted = levels.shape, self.given
            raise ValueError(
                f"mask: {path} has {got[1]} x {got[0]} pixels, wanted {wanted[1]} x {wanted[0]}, "
                "the image's"
            )
        editable = (levels >= EDITABLE).float()
        found = F.interpolate(editable[None, None], size=self.scaled, mode="area")[0, 0] >= 0.5
        if not bool(found.any()):
            height, width = self.scaled
            raise ValueError(
                f"mask: {path} has no white pixel at {width} x {height} pixels, so nothing may "
                f"change: its brightest is {levels.max():g} of 255, wanted at least {EDITABLE}, "
                "not transparent"
            )
        if path is not None and bool(found.all()):
            warnings.warn(f"mask: {path} is white everywhere and protects nothing", stacklevel=2)
        height, width = self.image.shape[-2:]
        return F.pad(found.float(), (0, width - found.shape[1], 0, height - found.shape[0]))


def read_picture(path: Path, bundle: TextToImage, size: int | None) -> Picture:
    """Return an image file in the form a model takes, its longer side `size` pixels if given.

    Raises as `open_photo` does.
    """
    rgb = open_photo(path)
    given = (rgb.height, rgb.width)
    if size is not None:
        longer = max(given)
        rgb = rgb.resize(
            (max(1, round(rgb.width * size / longer)), max(1, round(rgb.height * size / longer))),
            Image.Resampling.LANCZOS,
        )
    image = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 127.5 - 1
    return Picture(
        image=continued(image[None], cell(bundle)), given=given, scaled=(rgb.height, rgb.width)
    )


def continued(image: Tensor, multiple: int) -> Tensor:
    """Return images (B, C, H, W) with sides that are multiples, the last pixels repeated."""
    right, below = -image.shape[-1] % multiple, -image.shape[-2] % multiple
    return F.pad(image, (0, right, 0, below), mode="replicate")


def parse_points(words: tuple[str, ...]) -> tuple[list[Point], list[Point]]:
    """Return the handles and the targets of words `x0,y0:x1,y1`, in pixels.

    Raises ValueError that names a word of another form.
    """
    pairs = [_pair(word) for word in words]
    return [handle for handle, _ in pairs], [target for _, target in pairs]


def read_points(path: Path) -> tuple[list[Point], list[Point]]:
    """Return the handles and targets of a JSON file `{"points": [[[x0, y0], [x1, y1]], ...]}`.

    Raises FileNotFoundError, or ValueError for a file of another form; both name it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"points: no such file: {path}")
    try:
        pairs = json.loads(read_text(path))["points"]
        return [_point(handle) for handle, _ in pairs], [_point(target) for _, target in pairs]
    except (ValueError, KeyError, TypeError):
        wanted = '{"points": [[[x0, y0], [x1, y1]], ...]}'
        raise ValueError(f"{path}: wanted {wanted}, got something else") from None


def _pair(word: str) -> tuple[Point, Point]:
    try:
        handle, target = word.split(":")
        return _point(handle.split(",")), _point(target.split(","))
    except ValueError:
        raise ValueError(
            f"point: got {word!r}, wanted x0,y0:x1,y1, a handle and its target in pixels"
        ) from None


def _point(words: Any) -> Point:
    x, y = words
    return float(x), float(y)
