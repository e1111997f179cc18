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

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.drag import sample
from latentgeo.models.perceptual import Lpips

LAYERS = (0, 1, 2)  # of AlexNet: edges and colours, corners, textures
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


def match(source: Tensor, other: Tensor, points: Tensor, reach: Tensor) -> Tensor:
    """Return where points (n, 2) of a source (C, H, W) are in another image's features: (n, 2).

    The whole pixel with the largest cosine, of those at most `reach` (n,) from where the point was;
    of equal ones the nearest to it.
    """
    height, width = other.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y], dim=-1).reshape(-1, 2).to(points)
    wanted = F.normalize(sample(source, points), dim=-1)  # (n, C)
    cosines = wanted @ F.normalize(other.flatten(1), dim=0)  # (n, H·W)
    away = (places - points[:, None]).norm(dim=-1)
    cosines = cosines.masked_fill(away > reach[:, None].clamp(min=1), -torch.inf)
    best = cosines.amax(dim=1, keepdim=True)
    return places[away.masked_fill(cosines < best, torch.inf).argmin(dim=1)]
