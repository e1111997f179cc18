"""The denoising UNet of improved DDPM and of ADM (guided diffusion), with P2-weighted faces.

Nichol & Dhariwal, Improved DDPM, arXiv 2102.09672; Dhariwal & Nichol, arXiv 2105.05233; Choi et
al., P2 weighting, arXiv 2204.00227, whose faces have ADM's network, smaller. `ADMConfig()` is
ImageNet 256 × 256; `models/bundles/presets_images.py` has the other published shapes. What a
learned variance means is in `core/learned_variance.py`.

Names      Those of the published checkpoints, so that a state dict is one: time_embed.{0,2},
           label_emb, input_blocks.{i}.{j}, middle_block.{0,1,2}, output_blocks.{i}.{j}, out.{0,2}.
           Step i of the way down is the convolution, then per resolution its residual blocks
           (j = 0, attention at j = 1) and what halves it; on the way up resampling comes last
Time       The network's own index τ = 0 … T - 1; the paper's t = τ + 1
Bottleneck `encode` returns h, the output of the middle (the h-space of Asyrp), and the skips;
           `decode` turns them into the prediction. forward = decode ∘ encode, and so of any other
           layer that both are told of (`unet_layers.py`)
"""

from typing import Self

import torch
from torch import Tensor, nn

from latentgeo.models.adm_layers import (
    ADMConfig,
    AttentionBlock,
    ResidualBlock,
    Step,
    resampler,
)
from latentgeo.models.layers import Conv2d, GroupNormSiLU, check_sides, time_embedding
from latentgeo.models.unet_layers import H, Skips, behind, place, taken, until


class ADMUNet(nn.Module):
    """ε_θ(x_t, τ, class), and v_θ behind it where the variance is learned."""

    def __init__(self, config: ADMConfig) -> None:
        super().__init__()
        self.config = config
        self.time_embed = nn.Sequential(
            nn.Linear(config.base, config.temb), nn.SiLU(), nn.Linear(config.temb, config.temb)
        )
        if config.classes is not None:
            self.label_emb = nn.Embedding(config.classes, config.temb)
        self.input_blocks, skips = way_down(config)
        width = config.channels[-1]
        self.middle_block = Step(
            [
                ResidualBlock(width, width, config),
                AttentionBlock(width, config),
                ResidualBlock(width, width, config),
            ]
        )
        self.output_blocks = way_up(config, skips)
        self.out = nn.Sequential(
            GroupNormSiLU(config.groups, config.channels[0]),
            nn.Identity(),  # SiLU, which the norm before it includes
            Conv2d(config.channels[0], config.out_channels, 3, padding=1),
        )

    def embed(self, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return temb (B, E) of the network's time index t (B,) and the classes (B,).

        Raises ValueError if there are labels and the model has no classes, or the other way round.
        """
        if (labels is None) != (self.config.classes is None):
            got = "none" if labels is None else f"{tuple(labels.shape)}"
            wanted = "none" if self.config.classes is None else f"(B,) of {self.config.classes}"
            raise ValueError(f"labels: got {got}, wanted {wanted}")
        angles = time_embedding(t * self.config.time_scale, self.config.base)
        temb = self.time_embed(angles.to(dtype_of(self.time_embed)))
        return temb if labels is None else temb + self.label_emb(labels)

    def encode(
        self, x: Tensor, t: Tensor, labels: Tensor | None = None, *, layer: str = H
    ) -> tuple[Tensor, Skips]:
        """Return the bottleneck h (B, C_h, H_h, W_h) of x_t = x (B, C, H, W) and its skips.

        Raises ValueError unless H and W are multiples of `config.factor`.
        """
        check_sides(x, self.config.factor)
        temb = self.embed(t, labels)
        skips: Skips = ()
        h = x.to(dtype_of(self.input_blocks))
        for each in until(layer, len(self.config.channels)):
            h, skips = self.run(each, h, skips, temb)
        return h, skips

    def decode(
        self, h: Tensor, skips: Skips, t: Tensor, labels: Tensor | None = None, *, layer: str = H
    ) -> Tensor:
        """Return the prediction (B, C_out, H, W) from the bottleneck h and the skips."""
        temb, skips = self.embed(t, labels), taken(layer, h, skips)
        for each in behind(layer, len(self.config.channels)):
            h, skips = self.run(each, h, skips, temb)
        return self.out(h.to(dtype_of(self.out)))

    def run(self, layer: str, h: Tensor, skips: Skips, temb: Tensor) -> tuple[Tensor, Skips]:
        """Return what a layer makes of h (B, C, H, W), and the skips behind it."""
        kind, i = place(layer)
        if kind == H:
            return self.middle_block(h, temb), skips
        if kind == "up":
            for step in [*self.output_blocks][steps_up(i, self.config)]:
                h, skips = step(torch.cat([h, skips[-1]], dim=1), temb), skips[:-1]
            return h, skips
        for step in [*self.input_blocks][steps_down(i, self.config)]:
            h = step(h, temb)
            skips = (*skips, h)
        return h, skips

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the prediction (B, C_out, H, W) for x_t = x, t (B,) and classes (B,) int64."""
        h, skips = self.encode(x, t, labels)
        return self.decode(h, skips, t, labels)

    def torso_to(self, dtype: torch.dtype) -> Self:
        """Cast the convolutions between input and output, and return self.

        With float16 this is how the published models run: embeddings, norms and the output layers
        stay in float32. The state dict keeps its names; a checkpoint is loaded before.
        """
        for module in (self.input_blocks, self.middle_block, self.output_blocks):
            for layer in module.modules():
                if isinstance(layer, nn.Conv1d | nn.Conv2d):
                    layer.to(dtype)
        return self


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of a module's first weight."""
    return next(module.parameters()).dtype


def steps_down(level: int, config: ADMConfig) -> slice:
    """Return which steps of the way down are a resolution's; -1 has the first convolution."""
    each = config.blocks + 1  # what halves it included, which the coarsest has not
    return slice(0, 1) if level < 0 else slice(1 + level * each, 1 + (level + 1) * each)


def steps_up(level: int, config: ADMConfig) -> slice:
    """Return which steps of the way up are a resolution's."""
    each, before = config.blocks + 1, len(config.channels) - 1 - level
    return slice(before * each, (before + 1) * each)


def step_layers(inp: int, level: int, config: ADMConfig) -> list[nn.Module]:
    """Return a residual block from `inp` channels to the resolution's, and its attention if any."""
    out = config.channels[level]
    layers: list[nn.Module] = [ResidualBlock(inp, out, config)]
    return [*layers, AttentionBlock(out, config)] if config.attention[level] else layers


def way_down(config: ADMConfig) -> tuple[nn.ModuleList, list[int]]:
    """Return the steps from the image to the coarsest resolution, and each one's channels."""
    width = config.channels[0]
    steps, widths = [Step([Conv2d(config.in_channels, width, 3, padding=1)])], [width]
    for level, out in enumerate(config.channels):
        for _ in range(config.blocks):
            steps.append(Step(step_layers(width, level, config)))
            widths.append(width := out)
        if level < len(config.channels) - 1:
            steps.append(Step([resampler(out, "down", config)]))
            widths.append(out)
    return nn.ModuleList(steps), widths


def way_up(config: ADMConfig, skips: list[int]) -> nn.ModuleList:
    """Return the steps back to the finest resolution; skips: channels of the steps down."""
    steps, width, remaining = [], config.channels[-1], [*skips]
    for level in reversed(range(len(config.channels))):
        for i in range(config.blocks + 1):
            layers = step_layers(width + remaining.pop(), level, config)
            width = config.channels[level]
            if level and i == config.blocks:
                layers.append(resampler(width, "up", config))
            steps.append(Step(layers))
    return nn.ModuleList(steps)
