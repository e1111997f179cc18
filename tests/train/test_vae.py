"""The loss that trains the autoencoder, from its definition."""

from pathlib import Path

import pytest
import torch

from latentgeo.models.vae import VAE, VAEConfig
from latentgeo.train.data.draws import Draws
from latentgeo.train.settings import TrainVae
from latentgeo.train.vae import VAETask

CPU = torch.device("cpu")


@pytest.mark.parametrize("perceptual", [False, True])
def test_loss_from_the_definition(perceptual):
    """LDM Sec. 3.1: mean |x - D(z)| + w LPIPS + w_KL KL of the posterior and N(0, I) by torch's own
    formula, z = μ + σ ε with ε of the draws; a squared distance stands in for LPIPS.
    """
    torch.manual_seed(0)
    vae = VAE(VAEConfig(channels=(4, 4), blocks=1, groups=2, scale=0.7))
    settings = TrainVae(out=Path("unused"), kl_weight=0.3, perceptual_weight=0.2)

    def squares(x, y):
        return (x - y).square().sum((1, 2, 3))

    x = torch.rand(3, 3, 10, 14, generator=torch.Generator().manual_seed(1)) * 2 - 1
    task = VAETask(vae, squares if perceptual else None, settings, x, CPU)
    loss, terms = task.loss((x, []), Draws(7, 20, 3))
    mean, log_variance = vae.posterior(x)
    q = torch.distributions.Normal(mean, log_variance.exp().sqrt())
    y = vae.decode((mean + q.stddev * Draws(7, 20, 3).normal_like(mean)) * 0.7)
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(q, prior).sum((1, 2, 3)).mean()
    l1 = sum((a - b).abs().mean() for a, b in zip(x, y, strict=True)) / 3
    wanted = l1 + 0.3 * kl + (0.2 * squares(x, y).mean() if perceptual else 0)
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=0)
    torch.testing.assert_close(terms["kl"], kl, rtol=1e-5, atol=0)
    assert not any(term.requires_grad for term in terms.values())
    assert set(terms) == {"l1", "kl"} | ({"lpips"} if perceptual else set())
