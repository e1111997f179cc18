"""Tests of the KL autoencoder: published shapes, an independent implementation, the KL term."""

import pytest
import torch

from latentgeo.eval.audit.errors import deviates, differs
from latentgeo.models.vae import VAE, VAEConfig, kl_divergence
from tests.models.test_unet import manifest

SMALL = VAEConfig(channels=(8, 12, 16), blocks=2, groups=4)


def small_vae(dtype: torch.dtype = torch.float64) -> VAE:
    torch.manual_seed(0)
    return VAE(SMALL).to(dtype)


def images(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(3, 3, 20, 28, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def test_sd15_has_the_published_parameters():
    """LDM Sec. 3.1: the default configuration is Stable Diffusion 1.5's, tensor for tensor."""
    with torch.device("meta"):
        vae = VAE(VAEConfig())
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    state = {key: tuple(value.shape) for key, value in vae.state_dict().items()}
    assert state == manifest("sd15_vae_diffusers")


def test_equals_an_independent_implementation():
    """SmoothS Eq. 1: same weights, same latents and images as the diffusers package."""
    diffusers = pytest.importorskip("diffusers")
    ours, x = small_vae(torch.float32), images(torch.float32)
    theirs = diffusers.AutoencoderKL(
        block_out_channels=SMALL.channels,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=SMALL.blocks,
        norm_num_groups=SMALL.groups,
    )
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        z = ours.encode(x)
        mean = theirs.encode(x).latent_dist.mean
        torch.testing.assert_close(z, mean * 0.18215, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            ours.decode(z), theirs.decode(z / 0.18215).sample, rtol=1e-5, atol=1e-5
        )


def test_a_seeded_latent_is_the_mean_and_its_own_spread_of_noise():
    """SmoothS Eq. 1: z_0 = s (μ + exp(log σ² / 2) ε), ε of the generator as it is."""
    vae, x = small_vae(), images()
    mean, log_variance = vae.posterior(x)
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5)).double()
    wanted = 0.18215 * (mean + log_variance.exp().sqrt() * eps)
    found = vae.encode(x, torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, wanted)


def test_latent_scale_round_trip():
    """SmoothS Eq. 1: decode undoes the scale that encode applied, whatever its value."""
    vae, x = small_vae(), images()
    z = vae.encode(x)
    assert z.shape == (3, 4, 5, 7)
    rescaled = VAE(VAEConfig(channels=(8, 12, 16), groups=4, scale=1.0)).double()
    rescaled.load_state_dict(vae.state_dict())
    torch.testing.assert_close(rescaled.encode(x) * 0.18215, z)
    assert differs(rescaled.encode(x), z) == pytest.approx(1 / 0.18215 - 1)  # as printed
    torch.testing.assert_close(rescaled.decode(z / 0.18215), vae.decode(z))


def test_samples_have_the_posteriors_moments():
    """LDM Sec. 3.1a: seeded latents are N(mean, exp(log variance)), by their empirical moments."""
    vae = small_vae()
    x = images()[:1].expand(2_003, -1, -1, -1)[:, :, :4, :4]
    with torch.no_grad():
        mean, log_variance = vae.posterior(x[:1])
        z = vae.encode(x, torch.Generator().manual_seed(2)) / SMALL.scale
    deviation = (0.5 * log_variance).exp()[0]
    n = len(z)
    assert deviates(z.mean(0), mean[0], deviation / n**0.5, n) < 4.5
    assert deviates(z.std(0), deviation, deviation / (2 * n) ** 0.5, n) < 4.5


def test_kl_divergence_is_the_integral():
    """LDM Sec. 3.1a: KL to N(0, I) by numerical integration of q log(q / p)."""
    mean, log_variance = torch.tensor([[0.7, -1.1]]).double(), torch.tensor([[0.3, -0.9]]).double()
    z = torch.linspace(-14, 14, 200_001, dtype=torch.float64)[:, None]
    q = torch.distributions.Normal(mean[0], (0.5 * log_variance[0]).exp())
    p = torch.distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())
    density = q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))
    expected = torch.trapezoid(density, z, dim=0).sum()
    torch.testing.assert_close(kl_divergence(mean, log_variance)[0], expected, rtol=1e-8, atol=0)


def test_refuses_sides_that_do_not_divide():
    """The error names what was got and what was wanted."""
    with pytest.raises(ValueError, match="of 4, got 20 × 30; height 20, width 28 or 32 would do"):
        small_vae().encode(torch.zeros(1, 3, 20, 30).double())
