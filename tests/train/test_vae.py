"""The loss that trains the autoencoder, from its definition."""

from pathlib import Path

import pytest
import torch

from latentgeo.models.vae import VAE, VAEConfig
from latentgeo.train.data.draws import Draws
from latentgeo.train.settings import TrainVae
from latentgeo.train.vae import VAETask, build, load_vae, save_vae

CPU = torch.device("cpu")


@pytest.mark.parametrize("perceptual", [False, True])
def test_loss_from_the_definition(perceptual):
    """LDM Sec. 3.1a: mean |x - D(z)| + w LPIPS + w_KL KL of the posterior and N(0, I) by torch's
    own formula, z = μ + σ ε with ε of the draws; a squared distance stands in for LPIPS.
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


def adversarial(tmp=Path("unused"), **changes):
    torch.manual_seed(0)
    vae = VAE(VAEConfig(channels=(4, 4), blocks=1, groups=2))
    settings = TrainVae(
        out=tmp, adversarial_weight=0.5, patch_width=4, patch_strided=1, rate=1e-2, **changes
    )
    x = torch.rand(3, 3, 10, 14, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return VAETask(vae, None, settings, x, CPU), x


def test_the_discriminators_part_of_the_loss():
    """LDM Eq. 25: w λ (-E D(y)) on top, λ the ratio of the slopes in the decoder's last weights."""
    task, x = adversarial()
    loss, terms = task.loss((x, []), Draws(7, 20, 3))
    plain, _ = adversarial(adversarial_from=9)
    like, _ = plain.loss((x, []), Draws(7, 20, 3))
    mean, log_variance = task.vae.posterior(x)
    y = task.vae.decode(
        (mean + (0.5 * log_variance).exp() * Draws(7, 20, 3).normal_like(mean)) * 0.18215
    )
    assert task.critic is not None
    fooled, last = -task.critic.net(y).mean(), task.vae.decoder.conv_out.weight
    slopes = [
        torch.autograd.grad(one, last, retain_graph=True)[0].norm()
        for one in ((x - y).abs().mean(), fooled)
    ]
    weight = slopes[0] / (slopes[1] + 1e-4)
    torch.testing.assert_close(loss, like + 0.5 * weight * fooled, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["adaptive"], weight, rtol=1e-4, atol=0)
    assert not any(term.requires_grad for term in terms.values())
    assert not any(kept.requires_grad for pair in task.critic.seen for kept in pair)
    loss.backward()
    assert all(p.grad is None for p in task.critic.net.parameters())


def test_the_discriminator_learns_from_the_images_of_the_step():
    """Its own loss falls over steps on the same images; without images it does nothing."""
    task, x = adversarial()
    assert task.critic is not None and task.critic.learn(0) == {}
    found = []
    for _ in range(20):
        task.loss((x, []), Draws(7, 20, 3))
        task.loss((x, []), Draws(7, 23, 3))  # two parts, accumulated
        found.append(task.end_step()["critic"])
    assert found[-1] < 0.7 * found[0] and task.step == 20 and not task.critic.seen


def test_a_checkpoint_has_the_discriminator():
    """Ten steps at once, or five, a checkpoint, and five: the same weights, to the bit."""

    def run(task, x, steps):
        for _ in range(steps):
            task.loss((x, []), Draws(7, 20, 3))
            task.end_step()
        return task.critic.net.state_dict()

    whole = run(*adversarial(), 10)
    first, x = adversarial()
    run(first, x, 5)
    second, _ = adversarial()
    second.load_state(first.state())
    again = run(second, x, 5)
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    second.load_state({})  # of a run without a discriminator: it begins anew
    assert second.step == 0


def test_the_decoder_alone(tmp_path):
    """LDM Sec. 3.1: a frozen encoder leaves latents, and so the models on them, as they are."""
    torch.manual_seed(0)
    old = VAE(VAEConfig(channels=(4, 4), blocks=1, groups=2, scale=0.7))
    save_vae(old, old.config, tmp_path)
    settings = TrainVae(out=tmp_path / "new", start=str(tmp_path), decoder_only=True)
    task = VAETask(build(settings), None, settings, torch.zeros(1, 3, 8, 8), CPU)
    parts = {name.split(".")[0] for name in task.parameters()}
    assert parts == {"decoder", "post_quant_conv"}
    x = torch.rand(3, 3, 10, 14, generator=torch.Generator().manual_seed(1)) * 2 - 1
    optimizer = torch.optim.AdamW(task.parameters().values(), lr=0.1)
    task.loss((x, []), Draws(7, 20, 3))[0].backward()
    optimizer.step()
    task.save(settings.out)
    new = load_vae(str(settings.out))
    assert new.config == old.config
    was = old.state_dict()
    kept = {name for name, weight in new.state_dict().items() if torch.equal(weight, was[name])}
    assert kept >= {name for name in was if name.split(".")[0] in ("encoder", "quant_conv")}
    assert not kept & set(task.parameters())


def test_a_decoder_needs_its_encoder(tmp_path):
    with pytest.raises(ValueError, match="got no --start"):
        TrainVae(out=tmp_path, decoder_only=True)
