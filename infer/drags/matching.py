"""Where a point of one image is in another, by the features of a network that edits neither.

DragBench's mean distance takes for this the features of a diffusion model (DIFT, arXiv 2306.03881):
the handle's in the source image against all of the edited one's, the largest cosine. The embedded
diffusion model cannot be that judge, see `models/zoo/avatars/README.md`: its faces are all in one
place, so its features tell where in the picture they are rather than what is there. Here they are
AlexNet's first three layers, of the weights that LPIPS has, which know nothing of the models
judged. They tell one eye or lens from the other badly, so a point is looked for in a disc alone:
around where it was, not where it should be, so that nothing is gained by where a drag aims.

Notation   points (n, 2) are (x, y) in pixels, (0, 0) the centre of the first one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.drag import sample
from latentgeo.models.perceptual import Lpips

LAYERS = (0, 1, 2)  # of AlexNet: edges and colours, corners, textures
REACH = 2.0  # times its way to the target: how far from its handle a point is looked for
ENLARGED = 256  # pixels of the shorter side that AlexNet is shown: its first stride is 4


@torch.no_grad()
def point_features(network: Lpips, image: Tensor) -> Tensor:
    """Return features (C, H, W) of an image (3, H, W) in [-1, 1], of unit length in each layer."""
    height, width = image.shape[-2:]
    zoom = max(1.0, ENLARGED / min(height, width))
    large = F.interpolate(image[None], scale_factor=zoom, mode="bilinear")
    maps = [
        F.interpolate(layer, size=(height, width), mode="bilinear")
        for i, layer in enumerate(network.layers(large))
        if i in LAYERS
    ]
    return torch.cat([F.normalize(one, dim=1) for one in maps], dim=1)[0]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where points are found again, and how sure that is; (n,) but for the points."""

    points: Tensor  # (n, 2)
    likeness: Tensor  # the cosine of the features there and of the handle's
    elsewhere: Tensor  # the largest of another place of the image before, and the handle's

    @property
    def lost(self) -> Tensor:
        """Whether another place was more like a handle than what is found is, bool (n,)."""
        return self.likeness < self.elsewhere


def match(source: Tensor, other: Tensor, points: Tensor, reach: Tensor) -> Tensor:
    """Return where points (n, 2) of a source (C, H, W) are in another image's features: (n, 2).

    The whole pixel with the largest cosine, of those at most `reach` (n,) from where the point was;
    of equal ones the nearest to it.
    """
    places = pixels(other).to(points)
    away = (places - points[:, None]).norm(dim=-1)
    found = cosines(source, other, points).masked_fill(
        away > reach[:, None].clamp(min=1), -torch.inf
    )
    best = found.amax(dim=1, keepdim=True)
    return places[away.masked_fill(found < best, torch.inf).argmin(dim=1)]


def cosines(source: Tensor, other: Tensor, points: Tensor) -> Tensor:
    """Return the cosines (n, H·W) of features at points (n, 2) with those of every pixel."""
    wanted = F.normalize(sample(source, points), dim=-1)  # (n, C)
    return wanted @ F.normalize(other.flatten(1), dim=0)


def pixels(image: Tensor) -> Tensor:
    """Return the places (H·W, 2) of an image (C, H, W), row by row."""
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


@torch.no_grad()
def found_again(
    network: Lpips, before: Tensor, after: Tensor, handles: Tensor, targets: Tensor
) -> Found:
    """Return where a drag took its handles (n, 2), by images (3, H, W) in [-1, 1].

    "Elsewhere" is further from a handle than half its way, and not further than it is looked for.
    """
    source = point_features(network, before.clamp(-1, 1))
    edited = point_features(network, after.clamp(-1, 1))
    way = (targets - handles).norm(dim=1)
    points = match(source, edited, handles, REACH * way)
    there = (points[:, None] == pixels(edited).to(points)).all(dim=-1)  # (n, H·W), one each
    away = (pixels(source).to(handles) - handles[:, None]).norm(dim=-1)
    near = (away <= way[:, None] / 2) | (away > REACH * way[:, None])
    return Found(
        points=points,
        likeness=cosines(source, edited, handles)[there],
        elsewhere=cosines(source, source, handles).masked_fill(near, -1).amax(dim=1),
    )
