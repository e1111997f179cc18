"""The denoising UNet of DDPM, as Ho et al. published it: CIFAR-10 and the 256 × 256 models.

Ho, Jain & Abbeel, arXiv 2006.11239, Sec. 4 and Appendix B. `DDPMConfig()` is CelebA-HQ 256 × 256,
which LSUN's models share; `models/bundles/presets_images.py` has CIFAR-10.

Names      Those of the published PyTorch checkpoints (DDIM, SDEdit, Asyrp), so that a state dict is
           a checkpoint: temb.dense.{0,1}; down.{i}.block.{j}, .attn.{j}, .downsample.conv;
           mid.block_1, mid.attn_1, mid.block_2; up.{i}, where i is the resolution, finest first, on
           the way up too. diffusers: resnets for block (time_emb_proj for temb_proj, conv_shortcut
           for nin_shortcut), attentions for attn (group_norm, to_q, to_k, to_v, to_out.0 for norm,
           q, k, v, proj_out, their matrices without the 1 × 1), up_blocks counted from the coarsest
Time       The network's own index τ = 0 … T - 1; the paper's t = τ + 1
Patch      Not Ho et al.'s: with `patch` p a cell's channels are a square of p × p pixels, which
           halves the work at p = 2; with p = 1, as published, nothing is rearranged
Bottleneck `encode` returns h, the output of the middle (the h-space of Asyrp), and the skips;
           `decode` turns them into the prediction. forward = decode ∘ encode, and so of any other
           layer that both are told of (`unet_layers.py`)
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.kernels.attention.op import attention
from latentgeo.models.layers import (
    MAX_PERIOD,
    Conv2d,
    Downsample,
    GroupNorm,
    GroupNormSiLU,
    Upsample,
    check_attention,
    check_groups,
    check_sides,
)
from latentgeo.models.unet import up_widths
from latentgeo.models.unet_layers import H, Skips, behind, place, taken, until

EPS = 1e-6  # of every GroupNorm


@dataclass(frozen=True, kw_only=True)
class DDPMConfig:
    """Shape of the UNet. The defaults are the 256 × 256 models' of CelebA-HQ and LSUN."""

    in_channels: int = 3  # image channels
    out_channels: int = 3  # channels of the prediction
    channels: tuple[int, ...] = (128, 128, 256, 256, 512, 512)  # per resolution, finest first
    attention: tuple[bool, ...] = (False,) * 4 + (True, False)  # at 16 × 16 of 256 × 256
    blocks: int = 2  # residual blocks per resolution on the way down; one more on the way up
    dropout: float = 0.0  # in the residual blocks, while training
    groups: int = 32  # of every GroupNorm
    patch: int = 1  # side of the squares of pixels that are one cell of the finest resolution

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        check_attention(self.channels, self.attention)
        check_groups(self.channels, self.groups)

    @property
    def factor(self) -> int:
        """How many pixels a cell of the bottleneck spans along each side."""
        return self.patch * 2 ** (len(self.channels) - 1)


def position_embedding(t: Tensor, width: int) -> Tensor:
    """Return the sinusoidal embedding (B, width) of the network's time index t (B,), sines first.

    DDPM Sec. 4b   Transformer position embedding of t, as the authors wrote it: frequencies
                  MAX_PERIOD^(-i / (width / 2 - 1)), so that the last is 1 / MAX_PERIOD itself
    """
    half = width // 2
    index = torch.arange(half, dtype=torch.float32, device=t.device)
    angle = t.float()[:, None] * torch.exp(-math.log(MAX_PERIOD) / (half - 1) * index)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class TimeEmbedding(nn.Module):
    """Two linear layers that turn the sinusoidal embedding (B, C) into temb (B, E)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.dense = nn.ModuleList([nn.Linear(channels, width), nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """Return temb (B, E)."""
        return self.dense[1](F.silu(self.dense[0](x)))


class ResidualBlock(nn.Module):
    """Two convolutions (B, C, H, W) -> (B, C', H, W), shifted by the time embedding in between."""

    def __init__(self, inp: int, out: int, temb: int, config: DDPMConfig) -> None:
        super().__init__()
        self.norm1 = GroupNormSiLU(config.groups, inp, EPS)
        self.conv1 = Conv2d(inp, out, 3, padding=1)
        self.temb_proj = nn.Linear(temb, out)
        self.norm2 = GroupNormSiLU(config.groups, out, EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = Conv2d(out, out, 3, padding=1)
        if inp != out:
            self.nin_shortcut = Conv2d(inp, out, 1)
        self.has_shortcut = inp != out

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """Return the block's output (B, C', H, W) for temb (B, E)."""
        h = self.conv1(self.norm1(x)) + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(self.dropout(self.norm2(h)))
        return (self.nin_shortcut(x) if self.has_shortcut else x) + h


class AttentionBlock(nn.Module):
    """Single-head self-attention over all pixels, added to its input.

    DDPM Sec. 4c   self-attention at the 16 × 16 feature map resolution
    """

    def __init__(self, channels: int, config: DDPMConfig) -> None:
        super().__init__()
        self.norm = GroupNorm(config.groups, channels, EPS)
        self.q = Conv2d(channels, channels, 1)
        self.k = Conv2d(channels, channels, 1)
        self.v = Conv2d(channels, channels, 1)
        self.proj_out = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        h = self.norm(x)
        q, k, v = (  # (B, 1, H·W, C)
            layer(h).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v)
        )
        h = attention(q, k, v).squeeze(1).transpose(1, 2).unflatten(2, x.shape[-2:])
        return x + self.proj_out(h)


class Level(nn.Module):
    """One resolution: residual blocks, each followed by attention if the resolution has it."""

    def __init__(
        self, widths: list[tuple[int, int]], attend: bool, temb: int, config: DDPMConfig
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(inp, out, temb, config) for inp, out in widths)
        self.attn = nn.ModuleList(
            AttentionBlock(out, config) for _, out in widths if attend
        )  # no resolution has it behind some of its blocks only

    def step(self, i: int, x: Tensor, temb: Tensor) -> Tensor:
        """Return the output (B, C, H, W) of the i-th residual block and of its attention."""
        x = self.block[i](x, temb)
        return self.attn[i](x) if len(self.attn) else x


class DownLevel(Level):
    """A resolution on the way down; every output is a skip connection."""

    def __init__(self, i: int, temb: int, config: DDPMConfig) -> None:
        inp, out = config.channels[max(i - 1, 0)], config.channels[i]
        widths = [(inp, out)] + [(out, out)] * (config.blocks - 1)
        super().__init__(widths, config.attention[i], temb, config)
        self.last = i == len(config.channels) - 1
        if not self.last:
            self.downsample = Downsample(out, padding=0)

    def forward(self, x: Tensor, temb: Tensor) -> Skips:
        """Return the outputs (B, C, H, W) of the blocks, and that of the downsampling if any."""
        outputs = []
        for i in range(len(self.block)):
            x = self.step(i, x, temb)
            outputs.append(x)
        if not self.last:
            outputs.append(self.downsample(x))
        return tuple(outputs)


class UpLevel(Level):
    """A resolution on the way up; every residual block takes one skip connection."""

    def __init__(self, i: int, temb: int, config: DDPMConfig) -> None:
        widths = up_widths(config.channels, config.blocks, i)
        super().__init__(widths, config.attention[i], temb, config)
        self.last = i == 0
        if not self.last:
            self.upsample = Upsample(config.channels[i])

    def forward(self, x: Tensor, skips: list[Tensor], temb: Tensor) -> Tensor:
        """Return (B, C, H, W) at the next finer resolution, taking its skips off the list's end."""
        for i in range(len(self.block)):
            x = self.step(i, torch.cat([x, skips.pop()], dim=1), temb)
        return x if self.last else self.upsample(x)


class Middle(nn.Module):
    """The bottleneck: residual block, attention, residual block."""

    def __init__(self, channels: int, temb: int, config: DDPMConfig) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, temb, config)
        self.attn_1 = AttentionBlock(channels, config)
        self.block_2 = ResidualBlock(channels, channels, temb, config)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """Return h (B, C, H, W)."""
        return self.block_2(self.attn_1(self.block_1(x, temb)), temb)


class DDPMUNet(nn.Module):
    """ε_θ(x_t, τ): the denoiser of DDPM.

    DDPM Sec. 4c   a U-Net with group normalization throughout, its parameters shared across time
    """

    def __init__(self, config: DDPMConfig) -> None:
        super().__init__()
        self.config = config
        channels, temb = config.channels, 4 * config.channels[0]
        levels = range(len(channels))
        self.temb = TimeEmbedding(channels[0], temb)
        cell = config.patch**2  # pixels
        self.conv_in = Conv2d(cell * config.in_channels, channels[0], 3, padding=1)
        self.down = nn.ModuleList(DownLevel(i, temb, config) for i in levels)
        self.mid = Middle(channels[-1], temb, config)
        self.up = nn.ModuleList(UpLevel(i, temb, config) for i in levels)
        self.norm_out = GroupNormSiLU(config.groups, channels[0], EPS)
        self.conv_out = Conv2d(channels[0], cell * config.out_channels, 3, padding=1)

    def embed(self, t: Tensor, x: Tensor) -> Tensor:
        """Return temb (B, E) of the network's time index t (B,) in x's dtype."""
        return self.temb(position_embedding(t, self.config.channels[0]).to(x.dtype))

    def encode(self, x: Tensor, t: Tensor, *, layer: str = H) -> tuple[Tensor, Skips]:
        """Return the bottleneck h (B, C_h, H_h, W_h) of x_t = x (B, C, H, W) and its skips.

        Raises ValueError unless H and W are multiples of `config.factor`.
        """
        check_sides(x, self.config.factor)
        temb = self.embed(t, x)
        skips: Skips = ()
        for each in until(layer, len(self.down)):
            x, skips = self.run(each, x, skips, temb)
        return x, skips

    def decode(self, h: Tensor, skips: Skips, t: Tensor, *, layer: str = H) -> Tensor:
        """Return the prediction (B, C_out, H, W) from the bottleneck h and the skips."""
        temb, skips = self.embed(t, h), taken(layer, h, skips)
        for each in behind(layer, len(self.down)):
            h, skips = self.run(each, h, skips, temb)
        return F.pixel_shuffle(self.conv_out(self.norm_out(h)), self.config.patch)

    def run(self, layer: str, x: Tensor, skips: Skips, temb: Tensor) -> tuple[Tensor, Skips]:
        """Return what a layer makes of x (B, C, H, W), and the skips behind it."""
        kind, i = place(layer)
        if kind == "in":
            x = self.conv_in(F.pixel_unshuffle(x, self.config.patch))
            return x, (x,)
        if kind == "down":
            outputs = self.down[i](x, temb)
            return outputs[-1], skips + outputs
        if kind == H:
            return self.mid(x, temb), skips
        remaining = list(skips)
        return self.up[i](x, remaining, temb), tuple(remaining)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the prediction (B, C_out, H, W) for x_t = x and t (B,)."""
        h, skips = self.encode(x, t)
        return self.decode(h, skips, t)
