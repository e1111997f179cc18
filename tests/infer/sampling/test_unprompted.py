"""Sampling without text: step for step as diffusers, a seed's image in every batch, refusals."""

from dataclasses import replace

import pytest
import torch

from latentgeo.core.parameterization import x_0_from_eps
from latentgeo.core.schedule import times
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted import (
    ImageSampling,
    ancestral,
    denoise_images,
    denoiser_of,
    generate_images,
    image_shape,
)
from latentgeo.models.bundles.image_config import ImageDefaults, ImageModelConfig, ScheduleConfig
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.ddpm_unet import DDPMConfig
from tests.models.bundles.test_image_model import CONFIGS, made

TWICE = ImageModelConfig(
    name="twice",
    unet=DDPMConfig(out_channels=6, channels=(8, 12), attention=(False, True), blocks=1, groups=4),
    sampling=ImageDefaults(size=10),
)
SEEDS = [3, 5, 7]


def images(model: ImageModel, seeds=SEEDS, **settings) -> torch.Tensor:
    sampling = ImageSampling(steps=4, **settings)
    labels = None if model.config.classes is None else torch.tensor(seeds) % 5
    noise = seed_noises(seeds, model.shape)
    return torch.cat([*generate_images(model, noise, sampling, seeds, labels)])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("settings", [{}, {"eta": 0.7}, {"sampler": "ddpm"}], ids=str)
def test_an_image_does_not_depend_on_its_batch(name, settings):
    model = made(CONFIGS[name])
    together = images(model, **settings)
    assert together.shape == (3, 3, *[CONFIGS[name].sampling.size] * 2)
    assert together.abs().max() <= 1
    for batch in (1, 2):
        torch.testing.assert_close(
            images(model, **settings, batch=batch), together, rtol=0, atol=2e-5
        )
    torch.testing.assert_close(images(model, [5], **settings)[0], together[1], rtol=0, atol=2e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


@torch.no_grad()
def test_a_last_step_that_goes_nowhere_is_none():
    """DDIM Eq. 12: without offset and landing on ᾱ_1, as diffusers' scheduler goes."""
    diffusers = pytest.importorskip("diffusers")
    how = ImageDefaults(size=12, offset=0, final="first", clip=False)
    model = made(replace(CONFIGS["ddpm"], sampling=how))
    theirs = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=0)
    theirs.set_timesteps(4)
    x = noise = seed_noises([3], model.shape)
    for t in theirs.timesteps:
        x = theirs.step(model.raw()(x, t[None] + 1), t, x).prev_sample
    found = denoise_images(model, noise, ImageSampling(steps=4), [3])
    torch.testing.assert_close(found, x, rtol=0, atol=1e-4 * float(x.abs().max()))


@pytest.mark.parametrize("variance", ["small", "large", "learned"])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
@torch.no_grad()
def test_ancestral_steps_are_those_of_an_independent_sampler(variance, clip, kind):
    """DDPM Alg. 2, IDDPM Eq. 15, IDDPM Eq. 19: with the same draws, at 7 of 1,000 times."""
    diffusers = pytest.importorskip("diffusers")
    config = replace(
        TWICE,
        sampling=ImageDefaults(size=10, variance=variance, clip=clip),
        schedule=ScheduleConfig(kind=kind),
    )
    model = made(config)
    names = {"small": "fixed_small", "large": "fixed_large", "learned": "learned_range"}
    scheduler = diffusers.DDPMScheduler(
        beta_schedule={"linear": "linear", "cosine": "squaredcos_cap_v2"}[kind],
        variance_type=names[variance],
        clip_sample=clip,
    )
    bars = model.schedule.alpha_bar[1:]  # its own are rounded to float32, which is not its claim
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), bars, rtol=1e-4, atol=1e-9)
    scheduler.alphas_cumprod = bars
    start = torch.Generator().manual_seed(1)
    x = theirs = torch.randn(2, 3, 10, 10, generator=start, dtype=torch.float64)
    visited = times(model.schedule, 7, "leading", 0, "zero")
    draws = torch.Generator().manual_seed(2)
    ours = ancestral(
        model,
        denoiser_of(model),
        x,
        visited,
        lambda x: torch.randn(x.shape, generator=draws, dtype=x.dtype),
    )
    draws = torch.Generator().manual_seed(2)
    scheduler.set_timesteps(7)
    assert [int(t) + 1 for t in scheduler.timesteps] == [*visited[:-1]]
    for t in scheduler.timesteps:
        output = model.unet(theirs.float(), t.repeat(2)).double()
        output = output if variance == "learned" else output[:, :3]
        theirs = scheduler.step(output, t, theirs, generator=draws).prev_sample
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-6


@torch.no_grad()
def test_clipping_keeps_the_predicted_image_inside():
    """DDPM Eq. 15: of every step, where the model is sampled so."""
    model = made(CONFIGS["ddpm"])
    x, t = torch.randn(2, *model.shape), torch.tensor([1, 371])
    for clip in (True, False):
        model.config = replace(model.config, sampling=ImageDefaults(size=12, clip=clip))
        eps, v = denoiser_of(model)(x, t)
        x_0 = x_0_from_eps(model.schedule, x, eps, t)
        assert (x_0.abs().max() <= 1 + 1e-5) == clip
        assert not v.any()


def test_a_network_in_sixteen_bits_is_stepped_in_thirty_two():
    model = made(CONFIGS["adm"]).to("cpu", torch.bfloat16)
    x = seed_noises(SEEDS, model.shape)
    found = denoise_images(model, x, ImageSampling(steps=3), SEEDS, torch.tensor([0, 1, 2]))
    assert found.dtype == torch.float32 and found.isfinite().all()


def test_the_class_changes_the_image():
    model = made(CONFIGS["adm"])
    x = seed_noises([3, 3, 3], model.shape)
    sampling = ImageSampling(steps=3)
    (found,) = generate_images(model, x, sampling, [3] * 3, torch.tensor([1, 2, 1]))
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=2e-5)
    assert (found[0] - found[1]).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "cell"), [("ddpm", 4), ("adm", 2), ("ldm", 8)])
def test_sizes(name, cell):
    model = made(CONFIGS[name])
    assert image_shape(model) == model.shape
    factor = 4 if name == "ldm" else 1
    assert image_shape(model, 10 * cell) == (3, 10 * cell // factor, 10 * cell // factor)
    for size in (0, cell + 1, -cell):
        with pytest.raises(ValueError, match=f"size must be a positive multiple of {cell} pixels"):
            image_shape(model, size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 3, "batch": 0}, "batch must be at least 1"),
        ({"steps": 3, "eta": 2}, "eta must be in"),
        ({"steps": 3, "sampler": "euler"}, "sampler must be one of ddim, ddpm, got 'euler'"),
        ({"steps": 1, "sampler": "ddpm"}, "got 1 and 0.0 for the sampler ddpm"),
        ({"steps": 3, "sampler": "ddpm", "eta": 0.5}, "got 3 and 0.5 for the sampler ddpm"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageSampling(**settings)


def test_images_that_are_not_finite_are_an_error():
    model = made(CONFIGS["ddpm"])
    torch.nn.init.constant_(model.unet.conv_out.weight, float("nan"))
    with pytest.raises(RuntimeError, match="images 0 to 2 are not finite"):
        images(model)
