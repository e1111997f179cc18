"""The vector-quantized autoencoder of Latent Diffusion.

Rombach et al., arXiv 2112.10752, Sec. 3.1, VQ-reg.; van den Oord et al., arXiv 1711.00937.
`VQConfig()` is that of CelebA-HQ, 64 × 64 × 3 latents of 256 × 256 images.

Names      Those of the published weights in diffusers' form: encoder and decoder as in `vae.py`,
           quant_conv, quantize.embedding, post_quant_conv. LDM's own checkpoints have their names
           for encoder and decoder and the other three the same
Notation   x images (B, 3, H, W) in [-1, 1]; z latents (B, 3, H / f, W / f), not yet quantized,
           since the decoder does it; e_k the entries of the codebook
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentgeo.models.layers import Conv2d, check_sides
from latentgeo.models.vae import Decoder, Encoder, VAEConfig


@dataclass(frozen=True, kw_only=True)
class VQConfig(VAEConfig):
    """Shape of the autoencoder. The defaults are LDM CelebA-HQ's (f = 4)."""

    latent_channels: int = 3
    channels: tuple[int, ...] = (128, 256, 512)  # per resolution, finest first
    scale: float = 1.0  # of the latents: the diffusion model was trained on them as they are
    codes: int = 8192  # entries of the codebook


class Quantizer(nn.Module):
    """The codebook e_1 … e_K."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)

    def indices(self, z: Tensor) -> Tensor:
        """Return the index k (B, H, W) of the entry nearest to each cell of z (B, C, H, W)."""
        cells = z.detach().movedim(1, -1).flatten(1, 2)  # (B, H·W, C)
        codes = self.embedding.weight.detach()
        # One image at a time: the distances of a 64 × 64 latent to 8,192 entries are 134 MB.
        nearest = [torch.cdist(image, codes).argmin(dim=1) for image in cells]
        return torch.stack(nearest).unflatten(1, z.shape[2:])

    def forward(self, z: Tensor) -> Tensor:
        """Return the nearest entries (B, C, H, W) of z, with the gradient of the identity.

        LDM Sec. 3.1b   vector quantization: each cell of z becomes its nearest entry
        """
        nearest = self.embedding(self.indices(z)).movedim(-1, 1)
        return z + (nearest - z).detach()


class VQVAE(nn.Module):
    """The autoencoder between images x_0 and latents z_0."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_channels
        self.encoder = Encoder(config, latent)
        self.quant_conv = Conv2d(latent, latent, 1)
        self.quantize = Quantizer(config.codes, latent)
        self.post_quant_conv = Conv2d(latent, latent, 1)
        self.decoder = Decoder(config)

    def encode(self, x: Tensor) -> Tensor:
        """Return the scaled latent z_0 (B, C, H / f, W / f) of x, before its quantization.

        Raises ValueError unless H and W are multiples of `config.factor`.
        """
        check_sides(x, self.config.factor)
        return self.quant_conv(self.encoder(x)) * self.config.scale

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, 3, H, W), about in [-1, 1], of scaled latents z, which it quantizes.

        LDM Sec. 3.1b   vector quantization is the decoder's first layer
        """
        return self.decoder(self.post_quant_conv(self.quantize(z / self.config.scale)))
