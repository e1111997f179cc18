"""CLIP as its published files have it, on PyTorch's own attention: a judge of that grammar.

Written for the tests alone: the names, the fused projection and the order of what is done come with
`torch.nn.MultiheadAttention` and the paper's text, and nothing of the package is used.
"""

import torch
from torch import nn


class Norm(nn.LayerNorm):
    """A layer norm."""


class Block(nn.Module):
    """A residual attention block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1, self.ln_2 = Norm(width), Norm(width)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))


class Transformer(nn.Module):
    """Blocks under the name `resblocks`."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    """The image encoder."""

    def __init__(self, config, projection: int) -> None:
        super().__init__()
        width, side = config.width, config.size // config.patch
        self.conv1 = nn.Conv2d(3, width, config.patch, config.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, width))
        self.ln_pre, self.ln_post = Norm(width), Norm(width)
        self.transformer = Transformer(width, config.layers, config.heads)
        self.proj = nn.Parameter(torch.randn(width, projection))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        cells = self.conv1(pixels).flatten(2).mT
        first = self.class_embedding.expand(len(cells), 1, -1)
        x = torch.cat([first, cells], dim=1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(x))[:, 0]) @ self.proj


class OpenAIClip(nn.Module):
    """Both encoders; `counts` are the buffers of the published archives."""

    def __init__(self, config, counts: bool = True) -> None:
        super().__init__()
        text = config.text
        self.visual = Visual(config.vision, config.projection)
        self.transformer = Transformer(text.width, text.layers, text.heads)
        self.token_embedding = nn.Embedding(text.vocabulary, text.width)
        self.positional_embedding = nn.Parameter(torch.randn(text.context, text.width))
        self.ln_final = Norm(text.width)
        self.text_projection = nn.Parameter(torch.randn(text.width, config.projection))
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        if counts:
            self.register_buffer("input_resolution", torch.tensor(config.vision.size))
            self.register_buffer("context_length", torch.tensor(text.context))
            self.register_buffer("vocab_size", torch.tensor(text.vocabulary))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the features at the highest id, which is the end of the text."""
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        x = self.ln_final(self.transformer(x, mask))
        return x[torch.arange(len(x)), tokens.argmax(dim=1)] @ self.text_projection

    def logits(self, pixels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the scaled cosines (B, T)."""
        a, b = self.visual(pixels), self.encode_text(tokens)
        a, b = (x / x.norm(dim=-1, keepdim=True) for x in (a, b))
        return self.logit_scale.exp() * a @ b.T


def openai_clip(config, counts: bool = True) -> OpenAIClip:
    """Return the judge with random weights, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = OpenAIClip(config, counts)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2)
    return model.eval().requires_grad_(False)
