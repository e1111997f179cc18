"""Sampling: noise belongs to its seed alone, and wrong values are refused by name."""

import dataclasses
import math

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core.guidance import guide
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import (
    Sampling,
    denoise,
    generate,
    guided_predict,
    image_noise,
    latent_shape,
    sampling_of,
    sampling_times,
    seed_noises,
)

PROMPTS = ["a smiling person", "a sad person with short hair", "a smiling person"]


def images_of(bundle, seeds, prompts, **settings):
    sampling = sampling_of(bundle, 3, 2.0, **settings)
    noise = seed_noises(seeds, bundle.latent_shape)
    return torch.cat(list(generate(bundle, noise, prompts, sampling, seeds)))


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_an_image_does_not_depend_on_its_batch(bundle, eta):
    """Alone, or second of three, in batches of 1, 2 or 16: equal up to float32 rounding."""
    together = images_of(bundle, [3, 5, 7], PROMPTS, eta=eta, batch=16)
    for batch in (1, 2):
        apart = images_of(bundle, [3, 5, 7], PROMPTS, eta=eta, batch=batch)
        torch.testing.assert_close(apart, together, rtol=0, atol=2e-5)
    alone = images_of(bundle, [5], PROMPTS[1:2], eta=eta, batch=1)
    torch.testing.assert_close(alone[0], together[1], rtol=0, atol=2e-5)


def test_seed_prompt_and_eta_change_the_image(bundle):
    first, other_prompt, same_prompt = images_of(bundle, [3, 3, 5], PROMPTS)
    fresh = images_of(bundle, [3], PROMPTS[:1], eta=1.0)[0]
    for other in (other_prompt, same_prompt, fresh):
        assert (first - other).abs().max() > 1e-3


def test_noise_is_that_of_a_plain_seeded_generator():
    """What other samplers draw from a CPU generator of this seed, so that seeds carry over."""
    expected = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(11))
    assert torch.equal(image_noise(11, (4, 3, 5)), expected)


def test_global_generator_is_neither_read_nor_moved(bundle):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = images_of(bundle, [3], PROMPTS[:1], eta=1.0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(images_of(bundle, [3], PROMPTS[:1], eta=1.0), first)


def test_guidance_is_smooth_eq_5(bundle):
    """Smooth Eq. 5: the guided ε is the combination of two separate evaluations."""
    sampling = sampling_of(bundle, 3, 3.5, negative="a sad person")
    x, t = seed_noises([1, 2], bundle.latent_shape), torch.tensor([500, 500])
    with torch.no_grad():
        guided = guided_predict(bundle, PROMPTS[:2], sampling)(x, t)
        cond = bundle.predict(bundle.encode_text(PROMPTS[:2]))(x, t)
        uncond = bundle.predict(bundle.encode_text(["a sad person"] * 2))(x, t)
    torch.testing.assert_close(guided, guide(cond, uncond, 3.5), rtol=0, atol=1e-5)


def test_denoise_without_noise_is_ddim(bundle):
    sampling = sampling_of(bundle, 3, 1.0)
    x = seed_noises([1], bundle.latent_shape)
    predict = bundle.predict(bundle.encode_text(PROMPTS[:1]))
    with torch.no_grad():
        expected = ddim.sample(predict, bundle.schedule, x, sampling_times(bundle, 3))
    torch.testing.assert_close(denoise(bundle, x, PROMPTS[:1], sampling), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("guidance", math.nan),
        ("guidance", math.inf),
        ("guidance", -1.0),
        ("eta", -0.1),
        ("eta", 1.1),
        ("eta", math.nan),
    ],
)
def test_bad_settings_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Sampling(**{"steps": 3, "guidance": 2.0, name: value})


def test_more_steps_than_the_schedule_has(bundle):
    with pytest.raises(ValueError, match="steps"):
        images_of(bundle, [1], ["a"], batch=1)  # three are fine
        sampling_times(bundle, 1001)


def test_every_image_needs_a_prompt_and_where_noisy_a_seed(bundle):
    noise = seed_noises([1, 2], bundle.latent_shape)
    with pytest.raises(ValueError, match="prompts"):
        next(generate(bundle, noise, ["one"], sampling_of(bundle, 2, 1.0)))
    with pytest.raises(ValueError, match="seeds"):
        next(generate(bundle, noise, ["a", "b"], sampling_of(bundle, 2, 1.0, eta=0.5)))


def test_images_that_are_not_finite_are_a_failure(bundle):
    noise = seed_noises([1], bundle.latent_shape) * math.nan
    with pytest.raises(RuntimeError, match="not finite"):
        next(generate(bundle, noise, ["a"], sampling_of(bundle, 2, 1.0)))


def test_sizes(bundle):
    assert latent_shape(bundle) == (4, 8, 8)
    assert latent_shape(bundle, 48) == (4, 12, 12)
    for size in (0, -8, 33, 36):
        with pytest.raises(ValueError, match="size must be a positive multiple of 8"):
            latent_shape(bundle, size)


def test_half_precision_networks_keep_exact_latents(tiny, bundle):
    """In bfloat16 the image is that of float32 up to the network's rounding, not the latent's."""
    half = load_model(str(tiny.model), "cpu", "bf16")
    sampling, x = sampling_of(half, 8, 2.0), seed_noises([1], bundle.latent_shape)
    z = denoise(half, x, PROMPTS[:1], sampling)
    assert z.dtype == torch.float32 and z.unique().numel() > 0.99 * z.numel()
    exact = denoise(bundle, x, PROMPTS[:1], sampling)
    assert (z - exact).norm() < 0.05 * exact.norm()


def test_the_models_own_defaults_apply(bundle):
    assert dataclasses.astuple(sampling_of(bundle, None, None))[:2] == (2, 2.0)
