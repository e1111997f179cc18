"""The spatial transformer of Latent Diffusion: self-attention, cross-attention to text, GEGLU.

Rombach et al., arXiv 2112.10752, Sec. 3.3 and Appendix E.2.1; Shazeer, arXiv 2002.05202 (GEGLU).
"""

import torch
from torch import Tensor, nn

from latentgeo.kernels.gates.op import geglu
from latentgeo.models.layers import Attention, Conv2d, GroupNorm, LayerNorm


class GEGLU(nn.Module):
    """Linear layer to twice the width, one half gating the other.

    GLU Eq. 5   GEGLU(x, W, V, b, c) = GELU(xW + b) ⊗ (xV + c)
    """

    def __init__(self, inp: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inp, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, out) from x (B, N, inp).

        GLU Eq. 5   GELU(xW + b) ⊗ (xV + c), V's half of the one matrix first
        """
        return geglu(self.proj(x))


class FeedForward(nn.Module):
    """GEGLU to four times the width and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C)."""
        for layer in self.net:
            x = layer(x)
        return x


class TransformerBlock(nn.Module):
    """Pre-norm block: self-attention, cross-attention to the context, feed-forward."""

    def __init__(self, channels: int, heads: int, context: int | None) -> None:
        super().__init__()
        width = channels // heads
        self.norm1 = LayerNorm(channels)
        self.attn1 = Attention(channels, heads, width, None)
        self.norm2 = LayerNorm(channels)
        self.attn2 = Attention(channels, heads, width, context)
        self.norm3 = LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return (B, N, C); `context` (B, M, K) is None for a model without text."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Flatten H × W to a sequence, run the transformer blocks, add the result to the input."""

    def __init__(
        self, channels: int, heads: int, context: int | None, depth: int, groups: int
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, heads, context) for _ in range(depth)
        )
        self.proj_out = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return (B, C, H, W)."""
        height, width = x.shape[-2:]
        layout = torch.channels_last if _channels_last(x) else torch.contiguous_format
        h = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2).contiguous()  # (B, H·W, C)
        for block in self.transformer_blocks:
            h = block(h, context)
        h = h.transpose(1, 2).unflatten(2, (height, width))  # (B, C, H, W)
        return x + self.proj_out(h.contiguous(memory_format=layout))


def _channels_last(x: Tensor) -> bool:
    """Whether x (B, C, H, W) is kept with its channels innermost, as a layer would keep it."""
    return x.stride(1) == 1
