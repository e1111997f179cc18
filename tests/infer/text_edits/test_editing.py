"""Edits on a tiny model in float64: what must not change does not."""

from contextlib import nullcontext

import pytest
import torch

from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import Sampling, denoise, sampling_times, seed_noises
from latentgeo.infer.text_edits.editing import (
    cycle_diffusion,
    drawing,
    editing,
    invert,
    reconstruct,
    sdedit,
    side_by_side,
    smooth,
)

SOURCES = ["a smiling person with red hair", "a sad person"]
TARGETS = ["a smiling person with pink hair", "a sad person with glasses"]
STEPS, W = 5, 2.5
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_model(str(tiny.model), "cpu", "fp64")


@pytest.fixture(scope="module")
def x_T(bundle):
    return seed_noises([3, 5], bundle.latent_shape).double()


def edit_of(bundle, targets=TARGETS, own=W, null=None):
    return editing(bundle, SOURCES, targets, STEPS, W, own, null)


def plain(bundle, x_T, prompts, w=W):
    return denoise(bundle, x_T, prompts, Sampling(steps=STEPS, guidance=w))


def test_a_reconstruction_is_plain_sampling(bundle, x_T):
    """Smooth Eq. 5 at either scale: the source's own, whatever the target's is."""
    for own in (W, 1.0):
        out = reconstruct(edit_of(bundle, own=own), x_T)
        torch.testing.assert_close(out, plain(bundle, x_T, SOURCES, own), **EXACT)


def test_smooth_goes_from_the_source_to_the_target(bundle, x_T):
    """Smooth Eq. 15: r = 0 is the reconstruction, r = 1 the target's own image, exactly."""
    edit = edit_of(bundle)
    assert torch.equal(smooth(edit, x_T, 0.0), reconstruct(edit, x_T))
    torch.testing.assert_close(smooth(edit, x_T, 1.0), plain(bundle, x_T, TARGETS), **EXACT)
    between = smooth(edit, x_T, 0.5)
    for end in (0.0, 1.0):
        assert (between - smooth(edit, x_T, end)).abs().max() > 1e-6


@pytest.mark.parametrize("release", [0.3, 0.7, 1.0])
def test_smooth_into_the_source_is_the_reconstruction(bundle, x_T, release):
    """Smooth Eq. 15 with C_trg = C_src."""
    edit = edit_of(bundle, targets=SOURCES)
    assert torch.equal(smooth(edit, x_T, release), reconstruct(edit, x_T))


def test_an_inverted_image_is_found_again(bundle, x_T):
    """Smooth Eq. 4: at w = 1, the closer the more rounds."""
    z_0, visited = 0.5 * x_T, sampling_times(bundle, STEPS)
    edit = edit_of(bundle, own=1.0)
    misses = [
        (reconstruct(edit, invert(bundle, z_0, SOURCES, visited, rounds)) - z_0).norm()
        for rounds in (0, 3, 6)
    ]
    assert misses[2] < 0.5 * misses[1] < 0.25 * misses[0]


def test_sdedit_keeps_what_it_does_not_noise(bundle, x_T):
    """SDEdit Alg. 1: a small strength stays closer to the source than a large one."""
    z_0, noise = 0.5 * x_T, x_T.flip(0)
    apart = [(sdedit(edit_of(bundle), z_0, noise, s) - z_0).norm() for s in (0.2, 0.6, 1.0)]
    assert apart[0] < apart[1] < apart[2]


@pytest.mark.parametrize("w", [1.0, W])
def test_the_same_prompt_gives_the_image_back(bundle, x_T, w):
    """Cycle Alg. 1 with t̂ = t, and another image under another prompt."""
    z_0 = 0.5 * x_T
    draw = drawing([3, 5], z_0)
    same = editing(bundle, SOURCES, SOURCES, STEPS, w, w)
    torch.testing.assert_close(cycle_diffusion(same, z_0, draw, 1.0, 0.1), z_0, rtol=0, atol=1e-10)
    edit = edit_of(bundle, own=w)
    apart = [(cycle_diffusion(edit, z_0, draw, s, 0.1) - z_0).norm() for s in (0.4, 1.0)]
    assert 1e-4 < apart[0] < apart[1]


def test_cycle_diffusion_is_below_the_autoencoders_error():
    """Cycle Alg. 1 on the embedded model in float32: the round trip costs a picture nothing."""
    bundle = load_model("avatars")
    pixels = (seed_noises([0, 1], (3, 8, 8)) / 2).clamp(-1, 1)
    images = torch.nn.functional.interpolate(pixels, size=64, mode="bicubic").clamp(-1, 1)
    z_0 = bundle.encode(images)
    edit = editing(bundle, SOURCES, SOURCES, 6, 1.0, 1.0)
    found = cycle_diffusion(edit, z_0, drawing([3, 5], z_0), 1.0, 0.1)
    with torch.no_grad():
        through, back = bundle.decode(z_0), bundle.decode(found)
    assert (back - through).abs().mean() < 1e-3 * (through - images).abs().mean()


def test_noises_are_of_each_image_and_the_same_again(bundle, x_T):
    both = drawing([3, 5], x_T)(4)
    assert torch.equal(both, drawing([3, 5], x_T)(4))
    assert torch.equal(both[:, 1:], drawing([5], x_T[1:])(4))
    assert torch.equal(both[0], x_T) and not torch.equal(both[1], both[0])


def test_both_sides_run_as_each_would_alone(bundle, x_T):
    for own in (W, 1.0):
        both = side_by_side(edit_of(bundle, own=own), x_T, lambda i: nullcontext())
        source, target = both.chunk(2)
        torch.testing.assert_close(source, plain(bundle, x_T, SOURCES, own), **EXACT)
        torch.testing.assert_close(target, plain(bundle, x_T, TARGETS), **EXACT)


def test_null_embeddings_may_differ_by_step(bundle, x_T):
    """Smooth Eq. 15 with ∅_t: one for all steps, or that one repeated, or others."""
    empty = bundle.encode_text([""])
    same = smooth(edit_of(bundle, null=empty.expand(STEPS, -1, -1)), x_T, 0.7)
    torch.testing.assert_close(same, smooth(edit_of(bundle), x_T, 0.7), **EXACT)
    moved = torch.cat([empty] * (STEPS - 1) + [2 * empty])  # of the last step alone
    assert (smooth(edit_of(bundle, null=moved), x_T, 0.7) - same).abs().max() > 1e-6
    with pytest.raises(ValueError, match="give 1 or one per step, 5"):
        smooth(edit_of(bundle, null=moved[:3]), x_T, 0.7)


def test_settling_sees_every_step_and_decides(bundle, x_T):
    seen = []
    out = side_by_side(
        edit_of(bundle), x_T, lambda i: nullcontext(), lambda i, x: seen.append(i) or 0 * x
    )
    assert seen == list(range(STEPS)) and not out.any()


def test_prompts_come_in_pairs(bundle):
    with pytest.raises(ValueError, match="got 1 for 2 sources"):
        editing(bundle, SOURCES, TARGETS[:1], STEPS, W, W)
