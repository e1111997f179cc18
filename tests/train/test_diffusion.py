"""Latent diffusion training: the loss, dropped captions, weighting, and gradients to the text."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latentgeo.core.schedule import scaled_linear
from latentgeo.eval.audit.errors import deviates
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.latents import moments
from latentgeo.train.diffusion import DiffusionTask, drop_captions, snr_weight
from latentgeo.train.settings import TrainDiffusion

CPU = torch.device("cpu")


def make_task(bundle: TextToImage, **changes: Any) -> DiffusionTask:
    bundle.to("cpu", torch.float64)
    settings = TrainDiffusion(out=Path("unused"), vae="unused", drop_caption=0.0, **changes)
    return DiffusionTask(bundle, settings, [], CPU)


def observed(task: DiffusionTask, captions: list[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the loss, and z_t, τ and the output that the UNet saw and gave while computing it."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    handle = task.bundle.unet.register_forward_hook(
        lambda _, args, out: seen.append((args[0], args[1], out))
    )
    loss, _ = task.loss((certain_latents(len(captions)), captions), Draws(7, 0, len(captions)))
    handle.remove()
    return (loss, *seen[0])


def certain_latents(count: int) -> Tensor:
    """Return moments (B, 8, 8, 8) whose standard deviation is zero, so that z_0 is their mean."""
    mean = torch.randn(
        count, 4, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    return torch.cat([mean, torch.zeros_like(mean)], dim=1)


def test_loss(tiny: TextToImage) -> None:
    """LDM Eq. 3: the noise is recovered from what the UNet was shown, against what it returned."""
    loss, z_t, tau, out = observed(make_task(tiny), ["disc 1", "disc 2", "disc 3"])
    z_0 = certain_latents(3)[:, :4]
    bar = scaled_linear().alpha_bar[tau + 1][:, None, None, None]
    noise = (z_t - bar.sqrt() * z_0) / (1 - bar).sqrt()
    assert 0 <= int(tau.min()) and int(tau.max()) <= 999
    n = noise.numel()
    assert deviates(noise.mean(), 0, n**-0.5, n) < 5
    assert deviates(noise.std(), 1, (2 * n) ** -0.5, n) < 5
    torch.testing.assert_close(loss, ((noise - out) ** 2).mean(), rtol=1e-9, atol=0)


def test_loss_of_a_model_of_v(tiny: TextToImage) -> None:
    """LDM Eq. 3, of v = √ᾱ ε - √(1-ᾱ) z_0 where the network is of v."""
    loss, z_t, tau, out = observed(make_task(tiny, prediction="v"), ["disc 1", "disc 2", "disc 3"])
    z_0 = certain_latents(3)[:, :4]
    bar = scaled_linear().alpha_bar[tau + 1][:, None, None, None]
    noise = (z_t - bar.sqrt() * z_0) / (1 - bar).sqrt()
    v = bar.sqrt() * noise - (1 - bar).sqrt() * z_0
    torch.testing.assert_close(loss, (v - out).square().mean(), rtol=1e-9, atol=0)


def test_times_are_all_of_the_schedules(tiny: TextToImage, monkeypatch: Any) -> None:
    """LDM Eq. 3: t uniform on 1 … T."""
    asked, draws = [], Draws(7, 0, 1)
    integers = draws.integers
    monkeypatch.setattr(
        draws, "integers", lambda low, high, *rest: asked.append((low, high)) or integers(low, high)
    )
    make_task(tiny).loss((certain_latents(1), ["disc 1"]), draws)
    assert asked == [(1, 1000)]


def test_loss_of_images_is_that_of_their_moments(tiny: TextToImage) -> None:
    """LDM Eq. 3: without a cache the autoencoder sees each batch, and finds the same latents."""
    cached, uncached = make_task(tiny), make_task(tiny, cache_latents=False)
    tiny.to("cpu", torch.float32)  # in which moments are kept
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(4)) * 2 - 1
    captions = ["disc 1", "disc 2", "disc 3"]
    with torch.no_grad():
        kept = moments(tiny.vae, images)
    wanted, _ = cached.loss((kept, captions), Draws(7, 0, 3))
    found, _ = uncached.loss((images, captions), Draws(7, 0, 3))
    torch.testing.assert_close(found, wanted)


def test_loss_depends_on_the_caption(tiny: TextToImage) -> None:
    """LDM Eq. 3: τ_θ(y) reaches the loss, and its gradient reaches the text encoder."""
    task = make_task(tiny)
    one, *_ = observed(task, ["disc 1"])
    other, *_ = observed(task, ["xyz"])
    assert one.item() != other.item()
    one.backward()
    assert all(p.grad is not None for p in task.bundle.text.parameters())


def test_each_loss_is_weighed_by_its_time(tiny: TextToImage) -> None:
    """LDM Eq. 3: with --min-snr the mean over samples is of errors times their own t's weight."""
    loss, z_t, tau, out = observed(make_task(tiny, min_snr=0.1), ["disc 1", "disc 2", "disc 3"])
    bar = scaled_linear().alpha_bar[tau + 1][:, None, None, None]
    noise = (z_t - bar.sqrt() * certain_latents(3)[:, :4]) / (1 - bar).sqrt()
    snr = (bar / (1 - bar)).flatten()
    assert snr.max() > 0.2
    each = (noise - out).square().mean((1, 2, 3)) * snr.clamp(max=0.1) / snr
    torch.testing.assert_close(loss, each.mean(), rtol=1e-9, atol=0)


def test_captions_are_dropped() -> None:
    """CFG Alg. 1: each with probability p, by binomial bounds; p = 0 drops none and p = 1 all."""
    captions = ["x"] * 5_003
    kept = drop_captions(captions, Draws(1, 0, 5_003), 0.1)
    share = kept.count("") / len(kept)
    assert deviates(share, 0.1, (0.1 * 0.9 / 5_003) ** 0.5, 5_003) < 4.5
    assert drop_captions(captions[:7], Draws(1, 0, 7), 0.0) == captions[:7]
    assert drop_captions(captions[:7], Draws(1, 0, 7), 1.0) == [""] * 7


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_snr_weight_is_the_loss_in_x_0(kind: str) -> None:
    """Weighted losses in ε and in v are min(SNR, γ) ‖x_0 - x̂_0‖², from x̂_0's own definition."""
    schedule, t = scaled_linear(), torch.tensor([3, 400, 997])
    generator = torch.Generator().manual_seed(4)
    x_0, eps, error = torch.randn(3, 3, 11, generator=generator, dtype=torch.float64)
    bar = schedule.alpha_bar[t][:, None]
    x_t = bar.sqrt() * x_0 + (1 - bar).sqrt() * eps
    if kind == "eps":
        predicted = (x_t - (1 - bar).sqrt() * (eps + error)) / bar.sqrt()
    else:
        v = bar.sqrt() * eps - (1 - bar).sqrt() * x_0
        predicted = bar.sqrt() * x_t - (1 - bar).sqrt() * (v + error)
    snr = (bar / (1 - bar)).clamp(max=5.0)[:, 0]
    expected = snr * (predicted - x_0).square().mean(dim=1)
    actual = snr_weight(schedule, t, kind, 5.0) * error.square().mean(dim=1)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=0)
