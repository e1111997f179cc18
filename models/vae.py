"""The KL autoencoder of Latent Diffusion and Stable Diffusion.

Rombach et al., arXiv 2112.10752, Sec. 3.1; Smooth Diffusion's supplement, Eq. 1: z_0 = E(x_0),
x_0 = D(z_0). `VAEConfig()` is Stable Diffusion 1.5's; state-dict names and shapes are those of the
published weights.

Notation   x images (B, 3, H, W) in [-1, 1]; z scaled latents (B, 4, H / f, W / f) with
           f = 2^(levels - 1); the scale factor brings z to unit variance (0.18215 in SD).
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
    Upsample,
    check_sides,
)

EPS = 1e-6  # of every GroupNorm
LOG_VARIANCE_RANGE = (-30.0, 20.0)  # clamp of the posterior's log variance, as published


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Shape of the autoencoder. The defaults are Stable Diffusion 1.5's."""

    in_channels: int = 3  # image channels
    latent_channels: int = 4
    channels: tuple[int, ...] = (128, 256, 512, 512)  # per resolution, finest first
    blocks: int = 2  # residual blocks per resolution in the encoder; one more in the decoder
    groups: int = 32  # of every GroupNorm
    scale: float = 0.18215  # z = scale · (posterior sample or mean)

    @property
    def factor(self) -> int:
        """How many pixels a latent cell spans along each side."""
        return 2 ** (len(self.channels) - 1)


class MidBlock(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([AttentionBlock(channels, 1, groups, EPS)])
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, channels, groups, EPS, None) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Level(nn.Module):
    """One resolution of the encoder or decoder: residual blocks, then resampling if any."""

    def __init__(
        self, inp: int, out: int, blocks: int, groups: int, resample: nn.Module | None, name: str
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(inp if i == 0 else out, out, groups, EPS, None) for i in range(blocks)
        )
        self.resampling = name if resample is not None else None
        if resample is not None:
            self.add_module(name, nn.ModuleList([resample]))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H', W')."""
        for block in self.resnets:
            x = block(x)
        return x if self.resampling is None else getattr(self, self.resampling)[0](x)


class Encoder(nn.Module):
    """Images (B, 3, H, W) to `out` channels at H / f × W / f: a posterior's moments, or a code."""

    def __init__(self, config: VAEConfig, out: int) -> None:
        super().__init__()
        widths, groups = config.channels, config.groups
        self.conv_in = Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            Level(
                widths[max(i - 1, 0)],
                width,
                config.blocks,
                groups,
                Downsample(width, padding=0) if i < len(widths) - 1 else None,
                "downsamplers",
            )
            for i, width in enumerate(widths)
        )
        self.mid_block = MidBlock(widths[-1], groups)
        self.conv_norm_out = GroupNormSiLU(groups, widths[-1], EPS)
        self.conv_out = Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, H / f, W / f), before the 1 × 1 convolution that ends the encoder."""
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(self.conv_norm_out(self.mid_block(x)))


class Decoder(nn.Module):
    """Latents (B, latent, H / f, W / f) to images (B, 3, H, W)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.channels[::-1], config.groups
        self.conv_in = Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], groups)
        self.up_blocks = nn.ModuleList(
            Level(
                widths[max(i - 1, 0)],
                width,
                config.blocks + 1,
                groups,
                Upsample(width) if i < len(widths) - 1 else None,
                "upsamplers",
            )
            for i, width in enumerate(widths)
        )
        self.conv_norm_out = GroupNormSiLU(groups, widths[-1], EPS)
        self.conv_out = Conv2d(widths[-1], config.in_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Return images (B, 3, H, W), not clamped."""
        x = self.mid_block(self.conv_in(z))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(self.conv_norm_out(x))


class VAE(nn.Module):
    """The autoencoder between images x_0 and latents z_0."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_channels
        self.encoder = Encoder(config, 2 * latent)
        self.decoder = Decoder(config)
        self.quant_conv = Conv2d(2 * latent, 2 * latent, 1)
        self.post_quant_conv = Conv2d(latent, latent, 1)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (B, 4, H / f, W / f) of the unscaled latent of x."""
        check_sides(x, self.config.factor)
        mean, log_variance = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the scaled latent z_0 (B, 4, H / f, W / f) of x: the mean, or a sample if seeded.

        SmoothS Eq. 1   z_0 = E(x_0)
        """
        mean, log_variance = self.posterior(x)
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator, device=generator.device)
            mean = mean + (0.5 * log_variance).exp() * noise.to(mean)
        return mean * self.config.scale

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, 3, H, W), about in [-1, 1], of scaled latents z (B, 4, H / f, W / f).

        SmoothS Eq. 1   x_0 = D(z_0)
        """
        return self.decoder(self.post_quant_conv(z / self.config.scale))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) ‖ N(0, I)) per sample (B,), in nats.

    LDM Sec. 3.1a   the KL penalty towards a standard normal on the learned latent
    """
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.flatten(1).sum(dim=1)
