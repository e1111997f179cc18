"""Disentangle on a tiny model: what its weights reach, and that they are found by their loss."""

import pytest
import torch

from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.text_edits.disentangle import Disentangle, disentangle, drawn, judging
from latentgeo.infer.text_edits.editing import editing, reconstruct
from latentgeo.models.judges.judge import load_judge
from latentgeo.models.perceptual import load_lpips

SOURCES = ("a smiling person with short red hair", "a sad person")
TARGETS = ("a smiling person with short pink hair", "a sad person with glasses")
STEPS, W = 4, 2.5
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_model(str(tiny.model), "cpu", "fp64")


@pytest.fixture(scope="module")
def x_T(bundle):
    return seed_noises([3, 5], bundle.latent_shape).double()


@pytest.fixture(scope="module")
def edit(bundle):
    return editing(bundle, SOURCES, TARGETS, STEPS, W, W)


def how(rounds):
    return Disentangle(judge=load_judge(), perceptual=load_lpips(), rounds=rounds)


def test_weights_of_one_side_are_plain_sampling(bundle, edit, x_T):
    """Disentangle Sec. 4a: λ = 1 is the reconstruction, λ = 0 what the target's prompt draws."""
    ones = torch.ones(STEPS, 2, dtype=torch.float64)
    with torch.no_grad():
        ends = drawn(edit, x_T, ones), drawn(edit, x_T, 0 * ones)
    torch.testing.assert_close(ends[0], reconstruct(edit, x_T), **EXACT)
    swapped = editing(bundle, TARGETS, TARGETS, STEPS, W, W)
    torch.testing.assert_close(ends[1], reconstruct(swapped, x_T), **EXACT)


def test_the_loss_of_an_edit_falls(edit, x_T):
    """Disentangle Sec. 4b: through sampler, decoder, judge and LPIPS, for either image."""
    loss = judging(edit, x_T, how(0))
    with torch.no_grad():
        before, after = (loss(disentangle(edit, x_T, how(n))) for n in (0, 8))
    assert (after < before).all()


def test_the_weights_are_found_where_no_gradients_are_kept(edit, x_T):
    with torch.no_grad():
        found = disentangle(edit, x_T, how(1))
    assert torch.equal(found, disentangle(edit, x_T, how(1))) and not found.requires_grad
