"""Where an attribute of the faces is seen: measured on captioned images, not drawn by hand.

Notation   η² = 1 - (variance within values) / (variance), of each pixel, over images grouped by
           the attribute's value: 0 where the attribute changes nothing, 1 where it decides all
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SHARE = 0.03  # η² above which a pixel belongs to the attribute
CHANCE = 1e-3  # probability that a pixel is beyond what `by_chance` allows by chance


def correlation_ratio(images: Tensor, values: Sequence[str]) -> Tensor:
    """Return η² (H, W) of images (N, C, H, W) and a value for each, over all channels.

    Pearson's correlation ratio. Raises ValueError unless there is one value per image.
    """
    if len(values) != len(images):
        raise ValueError(f"values: got {len(values)} for {len(images)} images, wanted one each")
    x = images.double()
    total = (x - x.mean(0)).square().sum((0, 1))
    within = torch.zeros_like(total)
    for value in sorted(set(values)):
        group = x[[seen == value for seen in values]]
        within += (group - group.mean(0)).square().sum((0, 1))
    return torch.where(total > 0, 1 - within / total.clamp(min=1e-12), 0.0)


def by_chance(images: int, values: int) -> float:
    """Return the η² that a pixel exceeds by chance with probability CHANCE, by Fisher's F test."""
    from scipy.stats import f

    if values < 2 or images <= values:
        return 1.0
    level = float(f.ppf(1 - CHANCE, values - 1, images - values)) * (values - 1)
    return level / (level + images - values)


def outside(images: Tensor, values: Sequence[str], share: float = SHARE) -> Tensor:
    """Return the pixels (H, W), bool, that an attribute does not decide, of images (N, C, H, W)."""
    level = max(share, by_chance(len(images), len(set(values))))
    return correlation_ratio(images, values) <= level


def regions(
    images: Tensor, shown: Sequence[Mapping[str, str]], names: Sequence[str]
) -> dict[str, Tensor]:
    """Return, for each attribute named, the pixels (H, W) that it does not decide."""
    return {name: outside(images, [seen[name] for seen in shown]) for name in names}
