"""The convolutions of the small networks that look at faces: classifier, segmenter, small CLIP."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from latentgeo.models.layers import check_groups

FINE = 16  # channels at full resolution, where an eye is a few pixels


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """Shape of an encoder of images of one size, whose last cells keep their places."""

    size: int = 64  # side of the images it sees, in pixels
    channels: tuple[int, ...] = (32, 48, 64, 64)  # per resolution, finest first; each halves
    groups: int = 8  # of every GroupNorm

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        if self.size % self.factor:
            raise ValueError(f"size must be a multiple of {self.factor}, got {self.size}")
        check_groups(self.channels, self.groups)

    @property
    def factor(self) -> int:
        """How many pixels one of the last cells spans along each side."""
        return int(2 ** len(self.channels))

    @property
    def features(self) -> int:
        """How many numbers the last cells have together: faces are laid out, so all are kept."""
        return (self.size // self.factor) ** 2 * self.channels[-1]


def trunk(config: TrunkConfig) -> nn.Sequential:
    """Return the encoder, (B, 3, size, size) to (B, C, size / factor, size / factor)."""
    return nn.Sequential(
        nn.Conv2d(3, FINE, 3, padding=1),
        nn.ReLU(),
        *convolution(FINE, FINE, config.groups),
        *(halving(inp, out, config.groups) for inp, out in pairwise((FINE, *config.channels))),
    )


def halving(inp: int, out: int, groups: int) -> nn.Sequential:
    """Return a strided and a plain convolution, (B, inp, H, W) to (B, out, H / 2, W / 2)."""
    return nn.Sequential(*convolution(inp, out, groups, stride=2), *convolution(out, out, groups))


def convolution(inp: int, out: int, groups: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 × 3 convolution, normalised and rectified, (B, inp, H, W) to (B, out, …)."""
    conv = nn.Conv2d(inp, out, 3, stride=stride, padding=1)
    return nn.Sequential(conv, nn.GroupNorm(groups, out), nn.ReLU())
