"""Building blocks shared by the UNet and the VAE: norms, residual blocks, resampling, attention.

The blocks are those of Latent Diffusion (Rombach et al., arXiv 2112.10752), as Stable Diffusion
configures them. Sub-module names follow the layout in which Stable Diffusion's weights are most
widely distributed, so that a state dict is a checkpoint.

Notation   x (B, C, H, W) features; temb (B, E) the embedded time; q, k, v (B, heads, N, d).
Orders     Norms, gates and attention are the operators of latentgeo.kernels, with first and second
           derivatives in forward and in reverse mode; everything else is PyTorch's
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.core.run.limits import nearest
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.convolution import Geometry, conv2d
from latentgeo.kernels.norms.op import group_norm, group_norm_silu, layer_norm

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v -> (B, heads, N, d)
MAX_PERIOD = 10_000.0  # longest wavelength of the sinusoidal time embedding, in units of 2π steps


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Return the sinusoidal embedding (B, width) of the network's time index t (B,), cosines first.

    DDPM Sec. 4b   Transformer position embedding of t: frequencies MAX_PERIOD^(-2i / width).
    """
    half = width // 2
    index = torch.arange(half, dtype=torch.float32, device=t.device)
    angle = t.float()[:, None] * torch.exp(-math.log(MAX_PERIOD) / half * index)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def check_sides(x: Tensor, factor: int) -> None:
    """Raise ValueError unless both sides of x (B, C, H, W) are multiples of `factor`."""
    if x.shape[-1] % factor or x.shape[-2] % factor:
        height, width = x.shape[-2:]
        raise ValueError(
            f"image sides must be multiples of {factor}, got {height} × {width}; height "
            f"{nearest(height, factor)}, width {nearest(width, factor)} would do"
        )


def check_attention(channels: Sequence[int], attention: Sequence[bool]) -> None:
    """Raise ValueError unless it is said of every resolution whether it attends."""
    if len(channels) != len(attention):
        raise ValueError(
            f"attention needs one entry per resolution, got {len(attention)} "
            f"for {len(channels)} channels"
        )


def check_groups(channels: Sequence[int], groups: int) -> None:
    """Raise ValueError unless a GroupNorm can divide every number of channels into its groups."""
    for width in channels:
        if width % groups:
            raise ValueError(f"channels must be multiples of groups ({groups}), got {width}")


class Conv2d(nn.Conv2d):
    """`kernels.convolution.conv2d` with its weights, of zeros around the image."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros" or isinstance(padding, str):
            return super()._conv_forward(x, weight, bias)
        geometry = Geometry(self.stride, padding, self.dilation, self.groups)
        return conv2d(x, weight, bias, geometry)


class GroupNorm(nn.GroupNorm):
    """`kernels.norms.group_norm` with its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, ...)."""
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class GroupNormSiLU(nn.GroupNorm):
    """A GroupNorm and the SiLU behind it, as one operator."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, ...)."""
        return group_norm_silu(x, self.num_groups, self.weight, self.bias, self.eps)


class LayerNorm(nn.LayerNorm):
    """Normalization of the last dimension.

    PyTorch's own is silently wrong under reverse over forward (up to release 2.15), which is one of
    the routes to the regularizers' weight gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., C)."""
        return layer_norm(x, self.weight, self.bias, self.eps)


class TimeEmbedding(nn.Module):
    """Two linear layers that turn the sinusoidal embedding (B, C) into temb (B, E)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return temb (B, E)."""
        return self.linear_2(F.silu(self.linear_1(x)))


class ResnetBlock(nn.Module):
    """Residual block (B, C, H, W) -> (B, C', H, W), shifted by the time embedding if it has one."""

    def __init__(self, inp: int, out: int, groups: int, eps: float, temb: int | None) -> None:
        super().__init__()
        self.norm1 = GroupNormSiLU(groups, inp, eps)
        self.conv1 = Conv2d(inp, out, 3, padding=1)
        if temb is not None:
            self.time_emb_proj = nn.Linear(temb, out)
        self.norm2 = GroupNormSiLU(groups, out, eps)
        self.conv2 = Conv2d(out, out, 3, padding=1)
        if inp != out:
            self.conv_shortcut = Conv2d(inp, out, 1)
        self.has_shortcut = inp != out

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """Return the block's output (B, C', H, W); temb (B, E) if the block was built with it."""
        h = self.conv1(self.norm1(x))
        if temb is not None:
            h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(self.norm2(h))
        return (self.conv_shortcut(x) if self.has_shortcut else x) + h


class Downsample(nn.Module):
    """Halve H and W by a strided convolution; `padding=0` pads right and below, as the VAE does."""

    def __init__(self, channels: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H / 2, W / 2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.conv.padding == (0, 0) else x)


class Upsample(nn.Module):
    """Double H and W (nearest neighbour), then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Return (B, C, 2 H, 2 W), or exactly `size` where the way down had odd sides."""
        if size is None:
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Attention(nn.Module):
    """Multi-head attention of x (B, N, C) to context (B, M, K), or to itself.

    LDM Sec. 3.3   Attention(Q, K, V) = softmax(Q Kᵀ / √d) · V
    """

    def __init__(
        self, channels: int, heads: int, head_width: int, context: int | None, bias: bool = False
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.to_q = nn.Linear(channels, inner, bias=bias)
        self.to_k = nn.Linear(context or channels, inner, bias=bias)
        self.to_v = nn.Linear(context or channels, inner, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(inner, channels)])
        self.control: Attend | None = None  # in place of `attention`, see attention_control.py

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the attended values (B, N, C)."""
        context = x if context is None else context
        q, k, v = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
            for projected in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        attend = attention if self.control is None else self.control
        return self.to_out[0](attend(q, k, v).transpose(1, 2).flatten(2))


class AttentionBlock(Attention):
    """Normalized self-attention over all pixels, added to its input."""

    def __init__(self, channels: int, heads: int, groups: int, eps: float) -> None:
        super().__init__(channels, heads, channels // heads, None, bias=True)
        self.group_norm = GroupNorm(groups, channels, eps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return (B, C, H, W) from x (B, C, H, W); there is no context."""
        sequence = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H·W, C)
        return x + super().forward(sequence).transpose(1, 2).unflatten(2, x.shape[-2:])
