"""CLIP's transformer, and the text encoder: token ids to the context of Stable Diffusion.

Paper: Learning Transferable Visual Models From Natural Language Supervision (CLIP), arXiv
2103.00020, Sec. 2.4. State-dict names are those of transformers' CLIPTextModel, version 5; before
it each began with `text_model.`, which `formats` reads and writes.
Orders: the text encoder's attention is PyTorch's fused kernel, differentiable once, which is
faster; the image encoder (`clip_vision.py`) gives the layers the operators that have two orders.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """Shape of a transformer, of the text or of the image encoder."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp: int = 4  # hidden width of the MLP, in units of width
    activation: str = "quick_gelu"  # or "gelu", as OpenCLIP's encoders have
    eps: float = 1e-5  # of the layer norms

    def __post_init__(self) -> None:
        """Check the shape once."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{field.name} is {value}, wanted 1 or more")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}, wanted one of {[*ACTIVATIONS]}")


@dataclass(frozen=True, kw_only=True)
class TextConfig(TowerConfig):
    """Shape of the text encoder. The defaults are CLIP ViT-L/14's, as in Stable Diffusion 1."""

    vocabulary: int = 49408  # token ids
    context: int = 77  # the longest sequence


def quick_gelu(x: Tensor) -> Tensor:
    """Return x σ(1.702 x), the approximation of GELU that OpenAI's CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v (B, H, L, d) -> (B, H, L, d)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": F.gelu}


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √d) v (B, H, L, d), each token attending to those up to itself."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Attention(nn.Module):
    """Self-attention (B, L, width) -> (B, L, width)."""

    def __init__(self, config: TowerConfig, attend: Attend) -> None:
        super().__init__()
        self.heads, self.attend = config.heads, attend
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.q_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) -> (B, L, width)."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # (B, H, L, D)
        return self.out_proj(self.attend(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear maps around the activation."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.fc1 = nn.Linear(config.width, config.mlp * config.width)
        self.fc2 = nn.Linear(config.mlp * config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) -> (B, L, width)."""
        return self.fc2(self.activation(self.fc1(x)))


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, config: TowerConfig, attend: Attend, norm: type[nn.LayerNorm]) -> None:
        super().__init__()
        self.self_attn = Attention(config, attend)
        self.layer_norm1 = norm(config.width, eps=config.eps)
        self.mlp = Mlp(config)
        self.layer_norm2 = norm(config.width, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) -> (B, L, width)."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Learned embeddings of tokens and of positions, added."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.context, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) -> (B, L, width)."""
        return self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: TowerConfig, attend: Attend, norm: type[nn.LayerNorm]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config, attend, norm) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) -> (B, L, width)."""
        for layer in self.layers:
            x = layer(x)
        return x


class TextEncoder(nn.Module):
    """Token ids (B, L) to their contextual embeddings (B, L, width), initialised as CLIP was.

    CLIP Sec. 2.4c   a Transformer of 12 layers, width 512 and 8 heads, masked self-attention (here
                    the sizes are the configuration's)
    """

    def __init__(self, config: TextConfig | None = None) -> None:
        super().__init__()
        self.config = config or TextConfig()
        self.embeddings = Embeddings(self.config)
        self.encoder = Encoder(self.config, causal, nn.LayerNorm)
        self.final_layer_norm = nn.LayerNorm(self.config.width, eps=self.config.eps)
        self.reset_parameters()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the last hidden states (B, L, width), after the final norm, of tokens (B, L).

        Raises ValueError on tokens of a wrong shape, type or range.
        """
        if not torch.compiler.is_compiling():
            self.check(tokens)
        return self.final_layer_norm(self.encoder(self.embeddings(tokens)))

    def check(self, tokens: Tensor) -> None:
        """Raise ValueError unless tokens are int64 (B, L ≤ context) within the vocabulary."""
        if tokens.dtype != torch.int64 or tokens.ndim != 2:
            raise ValueError(
                f"tokens are {tokens.dtype} {tuple(tokens.shape)}, wanted int64 (B, L)"
            )
        if tokens.shape[1] > self.config.context:
            raise ValueError(
                f"tokens have length {tokens.shape[1]}, wanted at most {self.config.context}"
            )
        # On a GPU the test would wait for the device; on the meta device there is nothing to test.
        if tokens.device.type == "cpu" and tokens.numel():
            low, high = int(tokens.min()), int(tokens.max())
            if low < 0 or high >= self.config.vocabulary:
                raise ValueError(
                    f"tokens lie in {low} to {high}, wanted 0 to {self.config.vocabulary - 1}"
                )

    def reset_parameters(self) -> None:
        """Draw the weights as the published CLIP code does; biases start at 0."""
        width, depth = self.config.width, self.config.layers
        into_residual = width**-0.5 * (2 * depth) ** -0.5
        std = {
            "token_embedding": 0.02,
            "position_embedding": 0.01,
            "q_proj": width**-0.5,
            "k_proj": width**-0.5,
            "v_proj": width**-0.5,
            "out_proj": into_residual,
            "fc1": (2 * width) ** -0.5,
            "fc2": into_residual,
        }
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std[name.rpartition(".")[2]])
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
