"""Walks from prompt to prompt: their ends, what is real, what is cut, and what does not change."""

import warnings

import pytest
import torch

from latentgeo.core.transport import w2
from latentgeo.infer.sampling.pipeline import generate, sampling_of, seed_noises
from latentgeo.infer.walks.prompt_walk import (
    COUPLINGS,
    Clouds,
    clouds_of,
    context_walk,
    images_of,
)

PROMPTS = ["a smiling person", "a sad person with short hair", ""]


def test_clouds_have_the_models_length_and_count_what_is_real(bundle):
    """Prompts of any length are clouds of one size; an empty one is a start and an end."""
    clouds = clouds_of(bundle, PROMPTS)
    assert clouds.points.shape == (3, 77, 16)
    ids = bundle.tokenizer(PROMPTS)
    first_end = (ids == bundle.tokenizer.end).int().argmax(dim=1)
    assert clouds.real.tolist() == (first_end + 1).tolist() and clouds.real[2] == 2


def test_a_prompt_that_is_cut_is_a_warning_with_what_is_lost(bundle):
    long = "a " * 75 + "and Two more"
    with pytest.warns(UserWarning) as caught:
        clouds = clouds_of(bundle, [long, "a hat"])
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "77 fit" in message and "cut off: 'and two more'" in message
    assert clouds.real.tolist()[0] == 77
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clouds_of(bundle, ["a hat"])


def test_an_embedding_that_is_not_finite_is_named(bundle, monkeypatch):
    def broken(prompts):
        out = torch.zeros(len(prompts), 77, 16)
        out[1, 3, 5] = torch.nan
        return out

    monkeypatch.setattr(bundle, "encode_text", broken)
    with pytest.raises(ValueError, match="the embedding of 'a hat' is not finite"):
        clouds_of(bundle, ["a cat", "a hat"])


@pytest.mark.parametrize("name", COUPLINGS)
def test_every_coupling_walks_from_cloud_to_cloud(bundle, name):
    """OT Sec. 2.2: each prompt is visited, as a measure; index takes its rows as they are."""
    clouds = clouds_of(bundle, PROMPTS)
    walk = context_walk(clouds, name, 3, seed=1)
    assert walk.shape == (5, 77, 16) and walk.dtype == clouds.points.dtype
    assert (w2(walk[::2], clouds.points) == 0).all()
    assert torch.equal(walk[0], clouds.points[0])
    assert torch.equal(context_walk(clouds, name, 3, seed=1), walk)
    if name == "index":
        middle = (clouds.points[0] + clouds.points[1]) / 2
        torch.testing.assert_close(walk[1], middle)


def test_identical_prompts_do_not_move(bundle):
    clouds = clouds_of(bundle, ["a hat", "a hat"])
    for name in ("index", "optimal", "partial"):
        walk = context_walk(clouds, name, 3, seed=0)
        assert (walk == clouds.points[0]).all(), name


def test_partial_keeps_text_among_text(bundle):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 7, 3, generator=generator)
    clouds = Clouds(points=points, real=torch.tensor([4, 4]))
    sigma = COUPLINGS["partial"](*clouds.legs(), 0)
    assert set(sigma[0, :4].tolist()) == {0, 1, 2, 3}


def test_an_unknown_coupling_is_refused(bundle):
    with pytest.raises(ValueError, match="coupling: got 'best', wanted one of index"):
        context_walk(clouds_of(bundle, PROMPTS), "best", 3, seed=0)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_images_of_contexts_are_those_of_the_prompts(bundle, guidance):
    """With the guidance's own unconditional context, and in any batch."""
    sampling = sampling_of(bundle, 2, guidance, negative="a hat", batch=2)
    noise = seed_noises([1, 2, 3], bundle.latent_shape)
    expected = torch.cat(list(generate(bundle, noise, PROMPTS, sampling)))
    found = images_of(bundle, noise, bundle.encode_text(PROMPTS), sampling)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_order_of_tokens_is_not_seen_but_for_the_unconditional_context(bundle):
    """OT Sec. 2.1: a permuted context gives the same image, guidance included."""
    sampling = sampling_of(bundle, 2, 2.5)
    noise = seed_noises([1, 1], bundle.latent_shape)
    context = bundle.encode_text(PROMPTS[:1])
    order = torch.randperm(77, generator=torch.Generator().manual_seed(0))
    one, other = images_of(bundle, noise, torch.cat([context, context[:, order]]), sampling)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_contexts_need_noises_and_no_fresh_ones(bundle):
    context = bundle.encode_text(PROMPTS)
    noise = seed_noises([1, 2], bundle.latent_shape)
    with pytest.raises(ValueError, match="got 2 and 3 with eta 0"):
        images_of(bundle, noise, context, sampling_of(bundle, 2, 1.0))
    with pytest.raises(ValueError, match=r"eta 0\.5"):
        images_of(bundle, noise, context[:2], sampling_of(bundle, 2, 1.0, eta=0.5))
