"""CLIP's image encoders, ViT-B/32, B/16 and L/14, and the space they share with the text encoder.

Paper: Learning Transferable Visual Models From Natural Language Supervision (CLIP), arXiv
2103.00020, Sec. 2.3 and 2.4.

Names      Those of transformers' CLIPModel: text_model (as in `clip.py`), vision_model,
           text_projection, visual_projection, logit_scale. OpenAI's: `visual.` for vision_model,
           conv1, ln_pre, transformer.resblocks, ln_post for embeddings.patch_embedding,
           pre_layrnorm (its published spelling), encoder.layers, post_layernorm; q, k and v fused,
           and projections transposed
Notation   x images (B, 3, H, W) in [-1, 1]; features (B, projection), not normalized
Orders     The image encoder is made of the operators of latentgeo.kernels: first and second
           derivatives in forward and in reverse mode. The text encoder is differentiable once
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.kernels.attention.op import attention
from latentgeo.models.clip import Encoder, TextConfig, TextEncoder, TowerConfig
from latentgeo.models.layers import LayerNorm

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the training images' channels, in [0, 1]
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class VisionConfig(TowerConfig):
    """Shape of the image encoder. The defaults are ViT-B/32's."""

    size: int = 224  # image side in pixels
    patch: int = 32  # side of a patch

    def __post_init__(self) -> None:
        """Check the shape once."""
        super().__post_init__()
        if self.size % self.patch:
            raise ValueError(f"size {self.size} is not a multiple of patch {self.patch}")


@dataclass(frozen=True, kw_only=True)
class CLIPConfig:
    """Shape of the pair; `models/bundles/presets.py` has the published ones."""

    vision: VisionConfig
    text: TextConfig
    projection: int = 512  # width of the space that images and texts share
    end: int = 49407  # the token whose place has the text's features; the first one in a row


class Embeddings(nn.Module):
    """Patches as tokens behind a class token, and learned embeddings of their positions."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        patch, tokens = config.patch, (config.size // config.patch) ** 2 + 1
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        nn.init.normal_(self.class_embedding, std=config.width**-0.5)
        self.patch_embedding = nn.Conv2d(3, config.width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding(tokens, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, size, size) -> (B, L, width)."""
        patches = self.patch_embedding(x).flatten(2).transpose(1, 2)  # (B, L - 1, width)
        first = self.class_embedding.expand(len(x), 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class VisionEncoder(nn.Module):
    """Standardized images to the features of the class token.

    CLIP Sec. 2.4a   a Vision Transformer, with another layer normalization before the transformer
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = LayerNorm(config.width, eps=config.eps)
        self.encoder = Encoder(config, attention, LayerNorm)
        self.post_layernorm = LayerNorm(config.width, eps=config.eps)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the last hidden states (B, L, width) of standardized x (B, 3, size, size).

        Raises ValueError for images of another size.
        """
        size = self.config.size
        if x.shape[1:] != (3, size, size):
            raise ValueError(f"images are {tuple(x.shape)}, wanted (B, 3, {size}, {size})")
        return self.encoder(self.pre_layrnorm(self.embeddings(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized class token (B, width) of standardized x (B, 3, size, size)."""
        return self.post_layernorm(self.tokens(x)[:, 0])


class CLIP(nn.Module):
    """Both encoders and their projections into one space."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = TextEncoder(config.text)
        self.vision_model = VisionEncoder(config.vision)
        self.visual_projection = nn.Linear(config.vision.width, config.projection, bias=False)
        self.text_projection = nn.Linear(config.text.width, config.projection, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def image_features(self, x: Tensor) -> Tensor:
        """Return the features (B, projection) of images x (B, 3, H, W) in [-1, 1], of any size.

        CLIP Sec. 2.3a   a linear projection of the encoder's representation
        """
        return self.visual_projection(self.vision_model(standardize(x, self.config.vision.size)))

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return the features (B, projection) of token ids (B, L).

        CLIP Sec. 2.4b   the state at the end-of-text token, normalized and linearly projected
        Raises ValueError if a row has no end-of-text token.
        """
        ends = text_ends(tokens, self.config.end)
        states = self.text_model(tokens)
        rows = torch.arange(len(tokens), device=tokens.device)
        return self.text_projection(states[rows, ends])

    def logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return e^τ times the cosines (B, T) of images x (B, 3, H, W) and texts (T, L).

        CLIP Sec. 2.3a   pairwise cosine similarities, scaled by the exponential of a learned
                        temperature parameter
        """
        images, texts = self.image_features(x), self.text_features(tokens)
        return self.logit_scale.exp() * cosines(images, texts)


def text_ends(tokens: Tensor, end: int) -> Tensor:
    """Return the places (B,) of the first end-of-text token, id `end`, in rows of tokens (B, L).

    Raises ValueError if a row has none.
    """
    is_end = tokens == end
    if not bool(is_end.any(dim=1).all()):
        raise ValueError(f"each row of tokens must have an end of text, id {end}")
    return is_end.int().argmax(dim=1)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of every feature a (B, C) with every b (T, C): (B, T)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def standardize(x: Tensor, size: int) -> Tensor:
    """Return images (B, 3, size, size) as the encoders take them, of x (B, 3, H, W) in [-1, 1].

    As published: the shorter side to `size` (bicubic, antialiased), the longer one in proportion
    and rounded down, the middle square, its corner rounded to the nearest pixel and halves to even
    ones, then the training images' mean and deviation per channel; but nothing is clamped where
    bicubic overshoots, nor rounded to 8 bits, so that it is differentiable. An x of that size is
    not resampled. (transformers rounds the corner down, which is a pixel less in some sizes.)
    Raises ValueError unless x is (B, 3, H, W).
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"images are {tuple(x.shape)}, wanted (B, 3, H, W)")
    short = min(x.shape[2:])
    if short != size:
        sides = [size * side // short for side in x.shape[2:]]
        x = F.interpolate(x, size=sides, mode="bicubic", antialias=True, align_corners=False)
    top, left = (round((side - size) / 2) for side in x.shape[2:])
    x = x[:, :, top : top + size, left : left + size]
    mean, deviation = (x.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((x + 1) / 2 - mean) / deviation
