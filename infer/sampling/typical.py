"""How typical an image is of those a model has learned: what comes back of it in one step.

The image is noised and x_0 predicted from that at once. A model fills in what the noise hides by
what it knows, so an image of another kind comes back worse (Graham et al., arXiv 2211.07740, of
whose many times this takes one). Inversion does not tell: DDIM leads back to images of any kind.
`latentgeo eval-typical` measures held-out images of the kind that was learned, and writes the file
`typical.json`. Edits read it from their model's folder.

Time       the paper's t; t = 0.3 T in all
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.ddpm import q_sample
from latentgeo.core.parameterization import Predict, x_0_from_eps
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.seeds import generator
from latentgeo.core.run.text import read_text
from latentgeo.core.schedule import batch_time
from latentgeo.infer.pictures.closeness import psnr
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.load import find_model

FILE = "typical.json"
NOISED = 0.3  # t / T
DRAWS = 2  # of the noise, the same for every image; the mean is taken
RARE = 0.05  # share of the held-out images that are called untypical


@dataclass(frozen=True, kw_only=True)
class Typical:
    """What held-out images of a model measured, in ascending order, and what they are of."""

    psnr: tuple[float, ...]  # dB
    size: int  # pixels a side
    settings: Mapping[str, object]  # model, weights, images, seed, …

    @property
    def bound(self) -> float:
        """The value, in dB, that a share RARE of the images lies below."""
        return self.psnr[math.floor(RARE * len(self.psnr))]

    @property
    def usual(self) -> str:
        """Of how many images the bound is, as the begin of a sentence."""
        return f"{1 - RARE:.0%} of {len(self.psnr)} images like those it has learned have"


@torch.no_grad()
def one_step(model: TextToImage | ImageModel, predict: Predict, images: Tensor) -> Tensor:
    """Return the PSNR (B,) in dB of images (B, 3, H, W) in [-1, 1] to x̂_0 of them, noised to t.

    The noise is the same for every image, on whatever device. `predict` is the model's, under the
    images' prompts if it takes text.
    """
    z_0 = model.encode(images).float()
    t = batch_time(max(1, round(NOISED * model.schedule.T)), z_0)
    found = []
    for i in range(DRAWS):
        eps = torch.randn(z_0.shape[1:], generator=generator(i, "typical")).to(z_0)
        x_t = q_sample(model.schedule, z_0, t, eps.expand_as(z_0))
        x_0 = x_0_from_eps(model.schedule, x_t, predict(x_t.to(model.dtype), t).float(), t)
        found.append(psnr(model.decode(x_0).float().cpu(), images.float().cpu()))
    return torch.stack(found).mean(0)


def tell(names: Sequence[str], values: Tensor, known: Typical | None) -> None:
    """Say of each image what came back (B,), in dB, and what that means; warn of an untypical one.

    `known` is None where nothing was measured for the model, or images have another size.
    """
    way = f"noised to t = {NOISED:g} T, the model gives it back in one step with a PSNR of"
    for name, value in zip(names, values.tolist(), strict=True):
        line = f"{name}: {way} {value:.1f} dB"
        if known is None:
            print(f"{line}; what is usual for this model, latentgeo eval-typical can measure")
        elif value >= known.bound:
            print(f"{line}: the model knows such images ({known.usual} {known.bound:.1f} or more)")
        else:
            warnings.warn(
                f"{line}, but {known.usual} {known.bound:.1f} or more: the model has not learned "
                "such images, and an edit may miss this one or spoil it",
                stacklevel=2,
            )


def write_typical(path: Path, found: Typical) -> Path:
    """Write what was measured as JSON, atomically."""
    return atomic_write(path, json.dumps(asdict(found), allow_nan=False) + "\n")


def typical_of(source: str, size: int) -> Typical | None:
    """Return what was measured for a model at its images' size, or None if nothing was."""
    place = find_model(source)
    path = (place if place.is_dir() else place.parent) / FILE
    known = read_typical(path) if path.is_file() else None
    return known if known is not None and known.size == size else None


def read_typical(path: Path) -> Typical:
    """Return what `write_typical` wrote; ValueError names a file of another form."""
    try:
        content = json.loads(read_text(path))
        values = tuple(sorted(float(value) for value in content["psnr"]))
        found = Typical(psnr=values, size=int(content["size"]), settings=content["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a file of latentgeo eval-typical: {error!r}") from None
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"{path}: got no finite values under psnr, wanted at least one")
    return found
