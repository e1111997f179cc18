"""Tests of the vector-quantized autoencoder: an independent implementation, the quantization."""

import pytest
import torch

from latentgeo.models.bundles.presets_images import VQ_PRESETS
from latentgeo.models.vqvae import VQVAE, Quantizer, VQConfig
from tests.models.test_ddpm_unet import check_derivatives, difference

SMALL = VQConfig(channels=(8, 12, 16), blocks=2, groups=4, codes=53)


def small(config: VQConfig = SMALL, dtype: torch.dtype = torch.float64) -> VQVAE:
    torch.manual_seed(0)
    model = VQVAE(config).to(dtype).eval()
    torch.nn.init.normal_(model.quantize.embedding.weight, std=0.3)
    return model


def images(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(3, 3, 20, 28, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def test_has_the_published_parameters():
    """LDM Sec. 3.1: VQ-f4 has 55.3 M parameters, its codebook 8,192 entries of width 3."""
    with torch.device("meta"):
        model = VQVAE(VQConfig())
    assert round(sum(p.numel() for p in model.parameters()) / 1e5) == 553
    assert model.quantize.embedding.weight.shape == (8192, 3)
    assert model.config.factor == 4


def test_equals_an_independent_implementation():
    """LDM Sec. 3.1b: same weights and names, same latents and images as diffusers' VQModel."""
    diffusers = pytest.importorskip("diffusers")
    ours, x = small(dtype=torch.float32), images(torch.float32)
    theirs = diffusers.VQModel(
        block_out_channels=SMALL.channels,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=SMALL.blocks,
        latent_channels=SMALL.latent_channels,
        num_vq_embeddings=SMALL.codes,
        norm_num_groups=SMALL.groups,
    )
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        z = ours.encode(x)
        assert difference(z, theirs.eval().encode(x).latents) < 1e-5
        assert difference(ours.decode(z), theirs.decode(z).sample) < 1e-5


def test_cells_become_their_nearest_codes():
    """LDM Sec. 3.1b: no other entry is nearer, and entries themselves stay what they are."""
    torch.manual_seed(0)
    quantizer = Quantizer(53, 3).double()
    torch.nn.init.normal_(quantizer.embedding.weight)
    codes = quantizer.embedding.weight.detach()
    z = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        found = quantizer(z)
    others = (z[:, None] - codes[None, :, :, None, None]).norm(dim=2)  # (B, K, H, W)
    torch.testing.assert_close((z - found).norm(dim=1), others.amin(dim=1))
    assert quantizer.indices(z).shape == (2, 5, 7)
    exact = codes[:35].reshape(5, 7, 3).permute(2, 0, 1)[None]
    torch.testing.assert_close(quantizer(exact), exact)
    assert quantizer.indices(exact).flatten().tolist() == [*range(35)]


def test_gradient_passes_straight_through():
    """LDM Sec. 3.1b: the derivative in z is that of the identity; none reaches the codebook."""
    quantizer = Quantizer(11, 3).double()
    z = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad((quantizer(z) * 3).sum(), z)
    torch.testing.assert_close(gradient, torch.full_like(z, 3))
    pushed = torch.func.jvp(quantizer, (z.detach(),), (torch.ones_like(z),))[1]
    torch.testing.assert_close(pushed, torch.ones_like(z))


def test_latent_scale_round_trip():
    """LDM Sec. 3.1b: decode undoes the scale that encode applied, whatever its value."""
    model, x = small(), images()
    scaled = small(VQConfig(channels=(8, 12, 16), groups=4, codes=53, scale=0.5))
    z = model.encode(x)
    assert z.shape == (3, 3, 5, 7)
    torch.testing.assert_close(scaled.encode(x), z * 0.5)
    torch.testing.assert_close(scaled.decode(z * 0.5), model.decode(z))


def test_second_derivatives():
    """Forward and reverse mode of the encoder, to the second order, by finite differences."""
    check_derivatives(small(VQ_PRESETS["tiny"]).encode, images()[:1, :, :8, :4])


def test_refuses_sides_that_do_not_divide():
    """The error names what was got and what was wanted."""
    with pytest.raises(ValueError, match="multiples of 4, got 20 × 30"):
        small().encode(torch.zeros(1, 3, 20, 30).double())
