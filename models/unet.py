"""The denoising UNet of Latent Diffusion and Stable Diffusion, with text or without.

Rombach et al., arXiv 2112.10752, Sec. 3.3. `UNetConfig()` is Stable Diffusion 1.5; the paper's
unconditional models have plain self-attention instead of transformers, and smaller models differ
by configuration alone. State-dict names and shapes are those of the published weights in diffusers'
form. (LDM's own names of an unconditional model are those of `adm_unet.py`, which can be it too.)

Time       The network's own index τ = 0 … T - 1. The paper's t = 1 … T is shifted where a model
           calls its network (`models/bundles`), and nowhere in it
Bottleneck `encode` returns h, the output of the middle block (the h-space of Asyrp), and the skip
           connections; `decode` turns them into the prediction. forward = decode ∘ encode, and so
           of any other layer that both are told of (`unet_layers.py`)
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentgeo.models.layers import (
    AttentionBlock,
    Conv2d,
    Downsample,
    GroupNormSiLU,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
    check_attention,
    time_embedding,
)
from latentgeo.models.transformer import SpatialTransformer
from latentgeo.models.unet_layers import H, Skips, behind, place, taken, until

EPS = 1e-5  # of every GroupNorm, but for the transformers' own


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Shape of the denoising UNet. The defaults are Stable Diffusion 1.5's."""

    in_channels: int = 4  # channels of the latent z
    out_channels: int = 4  # channels of the prediction
    channels: tuple[int, ...] = (320, 640, 1280, 1280)  # per resolution, finest first
    attention: tuple[bool, ...] = (True, True, True, False)  # per resolution, finest first
    blocks: int = 2  # residual blocks per resolution on the way down; one more on the way up
    heads: int = 8  # attention heads at every resolution, unless their width is given
    head_width: int | None = None  # channels of an attention head, which decides their number
    transformer: bool = True  # spatial transformers; False is plain self-attention
    depth: int = 1  # transformer blocks per spatial transformer
    context: int | None = 768  # width of the text embedding; None is unconditional
    groups: int = 32  # of every GroupNorm

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        check_attention(self.channels, self.attention)
        kind, heads = ("head width", self.head_width) if self.head_width else ("heads", self.heads)
        for width in self.channels:
            if width % self.groups or width % heads:
                raise ValueError(
                    f"channels must be multiples of groups ({self.groups}) and {kind} ({heads}), "
                    f"got {width}"
                )
        if self.context is not None and not self.transformer:
            raise ValueError(f"context is {self.context}, but only a transformer attends to any")

    def heads_of(self, channels: int) -> int:
        """Return the number of heads of an attention of so many channels."""
        return channels // self.head_width if self.head_width else self.heads


class Stage(nn.Module):
    """One resolution: residual blocks, each followed by attention if the resolution has it."""

    def __init__(
        self, widths: list[tuple[int, int]], attend: bool, temb: int, config: UNetConfig
    ) -> None:
        super().__init__()
        out = widths[-1][1]
        self.resnets = nn.ModuleList(
            ResnetBlock(inp, out, config.groups, EPS, temb) for inp, out in widths
        )
        if attend:
            self.attentions = nn.ModuleList(attention_layer(out, config) for _ in widths)
        self.attend = attend

    def block(self, i: int, x: Tensor, temb: Tensor, context: Tensor | None) -> Tensor:
        """Return the output (B, C, H, W) of the i-th residual block and of its attention."""
        x = self.resnets[i](x, temb)
        return self.attentions[i](x, context) if self.attend else x


class DownStage(Stage):
    """A resolution on the way down; every output is a skip connection."""

    def __init__(
        self, inp: int, out: int, attend: bool, last: bool, temb: int, config: UNetConfig
    ) -> None:
        super().__init__([(inp, out)] + [(out, out)] * (config.blocks - 1), attend, temb, config)
        if not last:
            self.downsamplers = nn.ModuleList([Downsample(out)])
        self.last = last

    def forward(self, x: Tensor, temb: Tensor, context: Tensor | None) -> Skips:
        """Return the outputs (B, C, H, W) of the blocks, and that of the downsampling if any."""
        outputs = []
        for i in range(len(self.resnets)):
            x = self.block(i, x, temb, context)
            outputs.append(x)
        if not self.last:
            outputs.append(self.downsamplers[0](x))
        return tuple(outputs)


class MidStage(nn.Module):
    """The bottleneck: residual block, attention, residual block."""

    def __init__(self, channels: int, temb: int, config: UNetConfig) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention_layer(channels, config)])
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, channels, config.groups, EPS, temb) for _ in range(2)
        )

    def forward(self, x: Tensor, temb: Tensor, context: Tensor | None) -> Tensor:
        """Return h (B, C, H, W)."""
        x = self.attentions[0](self.resnets[0](x, temb), context)
        return self.resnets[1](x, temb)


class UpStage(Stage):
    """A resolution on the way up; every residual block takes one skip connection."""

    def __init__(
        self,
        widths: list[tuple[int, int]],
        attend: bool,
        last: bool,
        temb: int,
        config: UNetConfig,
    ) -> None:
        super().__init__(widths, attend, temb, config)
        if not last:
            self.upsamplers = nn.ModuleList([Upsample(widths[-1][1])])
        self.last = last

    def forward(
        self, x: Tensor, skips: list[Tensor], temb: Tensor, context: Tensor | None
    ) -> Tensor:
        """Return (B, C, H, W) at the next finer resolution, taking its skips off the list's end."""
        for i in range(len(self.resnets)):
            x = self.block(i, torch.cat([x, skips.pop()], dim=1), temb, context)
        if self.last:
            return x
        size = (int(skips[-1].shape[-2]), int(skips[-1].shape[-1]))
        return self.upsamplers[0](x, None if size == (2 * x.shape[-2], 2 * x.shape[-1]) else size)


class UNet(nn.Module):
    """ε_θ(z_t, τ, context): the denoiser of a latent diffusion model."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, temb = config.channels, 4 * config.channels[0]
        levels = range(len(channels))
        self.conv_in = Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(channels[0], temb)
        self.down_blocks = nn.ModuleList(
            DownStage(
                channels[max(i - 1, 0)],
                channels[i],
                config.attention[i],
                i == levels[-1],
                temb,
                config,
            )
            for i in levels
        )
        self.mid_block = MidStage(channels[-1], temb, config)
        self.up_blocks = nn.ModuleList(
            UpStage(
                up_widths(channels, config.blocks, i), config.attention[i], i == 0, temb, config
            )
            for i in reversed(levels)
        )
        self.conv_norm_out = GroupNormSiLU(config.groups, channels[0], eps=EPS)
        self.conv_out = Conv2d(channels[0], config.out_channels, 3, padding=1)

    def embed(self, t: Tensor, x: Tensor) -> Tensor:
        """Return temb (B, E) of the network's time index t (B,) in x's dtype."""
        return self.time_embedding(time_embedding(t, self.config.channels[0]).to(x.dtype))

    def encode(
        self, x: Tensor, t: Tensor, context: Tensor | None = None, *, layer: str = H
    ) -> tuple[Tensor, Skips]:
        """Return the bottleneck h (B, C_h, H_h, W_h) of z_t = x (B, C, H, W) and its skips."""
        temb = self.embed(t, x)
        skips: Skips = ()
        for each in until(layer, len(self.down_blocks)):
            x, skips = self.run(each, x, skips, temb, context)
        return x, skips

    def decode(
        self, h: Tensor, skips: Skips, t: Tensor, context: Tensor | None = None, *, layer: str = H
    ) -> Tensor:
        """Return the prediction (B, C_out, H, W) from the bottleneck h and the skips."""
        temb, skips = self.embed(t, h), taken(layer, h, skips)
        for each in behind(layer, len(self.down_blocks)):
            h, skips = self.run(each, h, skips, temb, context)
        return self.conv_out(self.conv_norm_out(h))

    def run(
        self, layer: str, x: Tensor, skips: Skips, temb: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Skips]:
        """Return what a layer makes of x (B, C, H, W), and the skips behind it."""
        kind, i = place(layer)
        if kind == "in":
            x = self.conv_in(x)
            return x, (x,)
        if kind == "down":
            outputs = self.down_blocks[i](x, temb, context)
            return outputs[-1], skips + outputs
        if kind == H:
            return self.mid_block(x, temb, context), skips
        remaining = list(skips)
        stage = self.up_blocks[len(self.up_blocks) - 1 - i]
        return stage(x, remaining, temb, context), tuple(remaining)

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the prediction (B, C_out, H, W) for z_t = x, t (B,) and context (B, M, K)."""
        h, skips = self.encode(x, t, context)
        return self.decode(h, skips, t, context)


def attention_layer(channels: int, config: UNetConfig) -> nn.Module:
    """Return the layer (x, context) -> x that attends where x has so many channels."""
    heads = config.heads_of(channels)
    if not config.transformer:
        return AttentionBlock(channels, heads, config.groups, eps=EPS)
    return SpatialTransformer(channels, heads, config.context, config.depth, config.groups)


def up_widths(channels: tuple[int, ...], blocks: int, i: int) -> list[tuple[int, int]]:
    """Return (input, output) channels of the residual blocks at resolution i on the way up.

    A block's input is what came from below (or its predecessor) joined with one skip; the skips of
    resolution i are its own blocks' outputs and, last, what entered it on the way down.
    """
    below = channels[min(i + 1, len(channels) - 1)]
    entered = channels[max(i - 1, 0)]
    arriving = [below] + [channels[i]] * blocks
    skips = [channels[i]] * blocks + [entered]
    return [(a + s, channels[i]) for a, s in zip(arriving, skips, strict=True)]
