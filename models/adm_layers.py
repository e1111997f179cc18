"""The blocks of improved DDPM and ADM: residual blocks that resample, adaptive norms, attention.

Nichol & Dhariwal, arXiv 2102.09672; Dhariwal & Nichol, arXiv 2105.05233, Sec. 3. Sub-module names
are those of the published checkpoints, numbers of nn.Sequential included: in_layers.{0,2} are norm
and convolution, emb_layers.1 the projection of temb, out_layers.{0,3} norm and convolution.

Notation   x (B, C, H, W) features; temb (B, E) the embedded time, and class if there are classes
Precision  With convolutions in 16 bits (`ADMUNet.torso_to`) features are in 16 bits, temb and what
           norms compute in float32
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.kernels.attention.op import attention
from latentgeo.models.layers import (
    Conv2d,
    GroupNorm,
    GroupNormSiLU,
    Upsample,
    check_attention,
)

Order = Literal["legacy", "new"]
Resampling = Literal["up", "down"]


@dataclass(frozen=True, kw_only=True)
class ADMConfig:
    """Shape of the UNet. The defaults are ADM's for ImageNet 256 × 256, unconditional."""

    in_channels: int = 3  # image channels
    base: int = 256  # width of the sinusoidal time embedding; temb has four times as many
    channels: tuple[int, ...] = (256, 256, 512, 512, 1024, 1024)  # per resolution, finest first
    attention: tuple[bool, ...] = (False, False, False, True, True, True)  # per resolution
    blocks: int = 2  # residual blocks per resolution on the way down; one more on the way up
    heads: int = 4  # attention heads, unless their width is given
    head_width: int | None = 64  # channels of an attention head, which decides their number
    order: Order = "legacy"  # of q, k and v: within each head, or ("new") each for all heads
    scale_shift: bool = True  # temb scales and shifts the norm; False adds it to the features
    residual_resampling: bool = True  # it is in residual blocks; False: convolutions
    learned_variance: bool = True  # the output has twice in_channels: ε, then v of the variance
    classes: int | None = None  # of a class-conditional model
    time_scale: float = 1.0  # of τ before it is embedded: 1000 / T where a model was trained so
    dropout: float = 0.0  # in the residual blocks, while training
    groups: int = 32  # of every GroupNorm

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        check_attention(self.channels, self.attention)
        if self.order not in get_args(Order):
            raise ValueError(f"order must be 'legacy' or 'new', got {self.order!r}")
        if self.classes is not None and self.classes < 1:
            raise ValueError(f"classes is {self.classes}, wanted 1 or more, or None")
        for width in self.channels:
            if width % self.groups or width % (self.head_width or self.heads):
                raise ValueError(
                    f"channels must be multiples of groups ({self.groups}) and of the heads or "
                    f"their width ({self.head_width or self.heads}), got {width}"
                )

    def heads_of(self, channels: int) -> int:
        """Return the number of heads of an attention of so many channels."""
        return channels // self.head_width if self.head_width else self.heads

    @property
    def temb(self) -> int:
        """Width of the embedded time."""
        return 4 * self.base

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return 2 * self.in_channels if self.learned_variance else self.in_channels

    @property
    def factor(self) -> int:
        """How many pixels a cell of the bottleneck spans along each side."""
        return 2 ** (len(self.channels) - 1)


def resample(x: Tensor, way: Resampling | None) -> Tensor:
    """Return x at twice (nearest neighbour) or half (mean of 2 × 2) its sides, or as it is."""
    if way == "up":
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.avg_pool2d(x, 2) if way == "down" else x


class ResidualBlock(nn.Module):
    """Residual block (B, C, H, W) -> (B, C', H', W'), conditioned on temb, that may resample.

    ADM Sec. 3.1   AdaGN(h, y) = y_s GroupNorm(h) + y_b, here y_s = 1 + scale as released, so that
                   temb = 0 and a bias of 0 leave the norm as it is
    """

    def __init__(
        self, inp: int, out: int, config: ADMConfig, way: Resampling | None = None
    ) -> None:
        super().__init__()
        self.way, self.scale_shift = way, config.scale_shift
        self.in_layers = nn.Sequential(
            GroupNormSiLU(config.groups, inp),
            nn.Identity(),  # SiLU, which the norm before it includes
            Conv2d(inp, out, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(config.temb, 2 * out if config.scale_shift else out)
        )
        self.out_layers = nn.Sequential(
            (GroupNorm if config.scale_shift else GroupNormSiLU)(config.groups, out),
            nn.SiLU() if config.scale_shift else nn.Identity(),
            nn.Dropout(config.dropout),
            Conv2d(out, out, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if inp == out else Conv2d(inp, out, 1)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """Return the block's output (B, C', H', W') for temb (B, E).

        ADM Sec. 3.1   AdaGN(h, y) = y_s GroupNorm(h) + y_b
        """
        norm, activation, conv = self.in_layers
        h = conv(resample(activation(norm(x)), self.way))
        condition = self.emb_layers(temb).to(h.dtype)[:, :, None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            norm, *rest = self.out_layers
            h = norm(h) * (1 + scale) + shift
        else:
            h, rest = h + condition, [*self.out_layers]
        for layer in rest:
            h = layer(h)
        return self.skip_connection(resample(x, self.way)) + h


class AttentionBlock(nn.Module):
    """Multi-head self-attention over all pixels, added to its input.

    The 3 C channels of qkv are, in the legacy order, q, k and v of the first head, then those of
    the second; in the new one q of all heads, then k, then v.
    """

    def __init__(self, channels: int, config: ADMConfig) -> None:
        super().__init__()
        self.heads = config.heads_of(channels)
        self.order = config.order
        self.norm = GroupNorm(config.groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        packed = self.qkv(self.norm(x).flatten(2))  # (B, 3 C, H·W)
        if self.order == "legacy":
            packed = packed.unflatten(1, (self.heads, 3, -1))  # (B, heads, 3, d, H·W)
        else:
            packed = packed.unflatten(1, (3, self.heads, -1)).transpose(1, 2)
        q, k, v = (packed[:, :, i].transpose(2, 3).contiguous() for i in range(3))
        h = attention(q, k, v).transpose(2, 3).flatten(1, 2)  # (B, C, H·W)
        return x + self.proj_out(h).unflatten(2, x.shape[-2:])


class ConvDownsample(nn.Module):
    """Halve H and W by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H / 2, W / 2)."""
        return self.op(x)


class Step(nn.ModuleList):
    """What is done between two skip connections: residual block, attention, resampling."""

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """Return the layers' output (B, C', H', W'); those that are conditioned get temb (B, E)."""
        for layer in self:
            x = layer(x, temb) if isinstance(layer, ResidualBlock) else layer(x)
        return x


def resampler(channels: int, way: Resampling, config: ADMConfig) -> nn.Module:
    """Return the layer between two resolutions."""
    if config.residual_resampling:
        return ResidualBlock(channels, channels, config, way)
    return Upsample(channels) if way == "up" else ConvDownsample(channels)
