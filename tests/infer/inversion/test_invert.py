"""Inversion with a model: its order of convergence, precision, and what null texts gain."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from latentgeo.eval.metrics.heldout import captioned
from latentgeo.infer.inversion.invert import Inverting, ascend, back, encode, null_texts
from latentgeo.infer.sampling.loading import load_model

PROMPTS = ["a smiling person", "a sad person with short hair"]
FIT = Inverting(method="null-text", steps=3, guidance=4.0)
PLAIN = replace(FIT, method="ddim")


def latents(bundle, images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, *bundle.latent_shape, generator=generator)


@pytest.fixture(scope="module")
def tiny_bundle(tiny):
    return load_model(str(tiny.model), "cpu")


def test_round_trip_error_of_the_embedded_model_is_first_order():
    """Smooth Eq. 4: the miss after going up and down halves as the steps double."""
    bundle = load_model("avatars", "cpu")
    held = captioned().chosen(1, 0)
    texts = encode(bundle, held.captions)
    with torch.no_grad():
        z = bundle.encode(held.images(64))
    miss = []
    for steps in (20, 40, 80):
        how = Inverting(method="ddim", steps=steps, guidance=1.0)
        miss.append((back(bundle, ascend(bundle, z, texts, how)[0], texts, None, how) - z).norm())
    assert miss[-1] < 0.05 * z.norm()
    for coarse, fine in pairwise(miss):
        assert 1.5 < coarse / fine < 2.6


@pytest.mark.parametrize("shared", [False, True])
def test_null_texts_lead_nearer(tiny_bundle, shared):
    """SmoothS Eq. 4, SmoothS Eq. 5: than the empty prompt does, and sampling goes the same way."""
    z, texts = latents(tiny_bundle), encode(tiny_bundle, PROMPTS)
    pivot = ascend(tiny_bundle, z, texts, FIT)
    steps = list(null_texts(tiny_bundle, pivot, texts, FIT, shared))
    nulls = torch.stack([null for null, _ in steps])
    assert nulls.shape[:2] == (3, 1 if shared else 2) and nulls.dtype == torch.float32
    end = back(tiny_bundle, pivot[0], texts, nulls, FIT)
    torch.testing.assert_close(end, steps[-1][1], rtol=0, atol=1e-4)
    plain = back(tiny_bundle, pivot[0], texts, None, PLAIN)
    assert (end - z).norm() < 0.98 * (plain - z).norm()


def test_null_texts_as_printed_have_a_name_of_their_own(tiny_bundle):
    """SmoothS Eq. 4: from x̃_t; the records of the released way are what they were without it."""
    z, texts = latents(tiny_bundle), encode(tiny_bundle, PROMPTS)
    pivot, printed = ascend(tiny_bundle, z, texts, FIT), replace(FIT, fit_from="printed")
    first, *rest = (null for null, _ in null_texts(tiny_bundle, pivot, texts, FIT))
    begun, *others = (null for null, _ in null_texts(tiny_bundle, pivot, texts, printed))
    assert torch.equal(first, begun)  # both start at x̃_T
    assert not any(torch.equal(a, b) for a, b in zip(rest, others, strict=True))
    assert "fit_from" not in FIT.plain() and printed.plain()["fit_from"] == "printed"


def test_what_was_found_is_gone_on_from(tiny_bundle):
    """SmoothS Eq. 4, SmoothS Eq. 5: after no step, one or two the rest is what it was."""
    z, texts = latents(tiny_bundle), encode(tiny_bundle, PROMPTS)
    pivot = ascend(tiny_bundle, z, texts, FIT)
    whole = list(null_texts(tiny_bundle, pivot, texts, FIT, True))
    every = torch.stack([null for null, _ in whole])
    for done in (0, 1, 2):
        x = whole[done - 1][1] if done else None
        rest = list(null_texts(tiny_bundle, pivot, texts, FIT, True, every[:done], x))
        for found, wanted in zip(rest, whole[done:], strict=True):
            assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_sixteen_bit_networks_fit_null_texts_in_float32(tiny):
    """The embedding moves by less than bfloat16 could tell, and the fit still gains."""
    bundle = load_model(str(tiny.model), "cpu", "bf16")
    z, texts = latents(bundle, 1), encode(bundle, PROMPTS[:1])
    assert texts.context.dtype == torch.float32
    pivot = ascend(bundle, z, texts, FIT)
    nulls = torch.stack([null for null, _ in null_texts(bundle, pivot, texts, FIT)])
    assert pivot.dtype == nulls.dtype == torch.float32
    assert not torch.equal(nulls[0], nulls[0].bfloat16().float())
    end = back(bundle, pivot[0], texts, nulls, FIT)
    plain = back(bundle, pivot[0], texts, None, PLAIN)
    assert (end - z).norm() < (plain - z).norm()


def test_any_shape_of_latents(tiny_bundle):
    channels, h, w = tiny_bundle.latent_shape
    z, texts = torch.randn(1, channels, h, 2 * w), encode(tiny_bundle, PROMPTS[:1])
    pivot = ascend(tiny_bundle, z, texts, PLAIN)
    assert pivot.shape == (4, 1, channels, h, 2 * w) and torch.equal(pivot[-1], z)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"inner": 0}, "inner must be at least 1"),
        ({"guidance": -1.0}, "guidance must be finite"),
        ({"guidance_up": float("nan")}, "guidance_up must be finite"),
        ({"guidance": 1.0}, "which leaves the null text out"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(FIT, **change)
