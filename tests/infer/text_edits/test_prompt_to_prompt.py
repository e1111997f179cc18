"""Prompt-to-Prompt on a tiny model in float64: its identities, and what each part does."""

import pytest
import torch

from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import Sampling, denoise, seed_noises
from latentgeo.infer.text_edits.editing import editing, reconstruct
from latentgeo.infer.text_edits.prompt_to_prompt import PromptToPrompt, prompt_to_prompt
from latentgeo.models.attention_control import sites

SOURCES = ["a smiling person with red hair", "a sad person"]
TARGETS = ["a smiling person with pink hair", "a sad person with glasses"]
STEPS, W = 5, 2.5
EXACT = {"rtol": 0, "atol": 1e-11}
NONE = {"cross": 0.0, "self_": 0.0}


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_model(str(tiny.model), "cpu", "fp64")


@pytest.fixture(scope="module")
def x_T(bundle):
    return seed_noises([3, 5], bundle.latent_shape).double()


def run(bundle, x_T, targets=TARGETS, own=W, **how):
    edit = editing(bundle, SOURCES, targets, STEPS, W, own)
    return prompt_to_prompt(edit, x_T, PromptToPrompt(**how))


def test_no_edits_are_plain_generation(bundle, x_T):
    """P2P Alg. 1 with Edit(M_t, M*_t, t) = M*_t: both from the same noise."""
    plain = denoise(bundle, x_T, [*SOURCES], Sampling(steps=STEPS, guidance=W))
    other = denoise(bundle, x_T, [*TARGETS], Sampling(steps=STEPS, guidance=W))
    out = run(bundle, x_T, **NONE)
    torch.testing.assert_close(out, torch.cat([plain, other]), **EXACT)


@pytest.mark.parametrize("own", [W, 1.0])
@pytest.mark.parametrize("how", [{}, {"cross": 1.0, "self_": 1.0}, {"blend": (("red",), ("sad",))}])
def test_the_source_is_never_touched(bundle, x_T, own, how):
    """P2P Alg. 1: z_{t-1} comes from the source's prompt alone."""
    edit = editing(bundle, SOURCES, TARGETS, STEPS, W, own)
    source = run(bundle, x_T, own=own, **how).chunk(2)[0]
    torch.testing.assert_close(source, reconstruct(edit, x_T), **EXACT)


def test_an_edit_into_the_source_is_the_source(bundle, x_T):
    """P2P Alg. 1 with P* = P: the maps are the same ones."""
    words = (("red",), ("person",))
    out = run(bundle, x_T, targets=SOURCES, cross=1.0, self_=1.0, blend=words)
    source, target = out.chunk(2)
    torch.testing.assert_close(target, source, **EXACT)


def test_each_map_that_is_taken_changes_the_target(bundle, x_T):
    plain = run(bundle, x_T, **NONE).chunk(2)[1]
    for how in ({"cross": 1.0, "self_": 0.0}, {"cross": 0.0, "self_": 1.0}):
        taken = run(bundle, x_T, **how).chunk(2)[1]
        assert (taken - plain).abs().amax((1, 2, 3)).min() > 1e-6
    none = run(bundle, x_T, cross=0.0, self_=1.0, pixels=3).chunk(2)[1]  # no map is so small
    torch.testing.assert_close(none, plain, **EXACT)


def test_a_swapped_word_may_keep_its_own_map(bundle, x_T):
    """P2P Sec. 3.2a: in the first pair a word stands for another, in the second one is added."""
    taken, kept = (run(bundle, x_T, swap=swap).chunk(2)[1] for swap in (True, False))
    apart = (taken - kept).abs().amax((1, 2, 3))
    assert apart[0] > 1e-6 and apart[1] < 1e-11


def test_a_weight_of_one_is_the_identity(bundle, x_T):
    """P2P Sec. 3.2c, c = 1; any other c changes the target, at every step."""
    plain = run(bundle, x_T)
    torch.testing.assert_close(run(bundle, x_T, reweight=("person=1",)), plain, **EXACT)
    own = run(bundle, x_T, **NONE)  # nothing is taken over, here every map is and stays its own
    torch.testing.assert_close(run(bundle, x_T, reweight=("person=1",), **NONE), own, **EXACT)
    heavy = run(bundle, x_T, reweight=("person=2",), **NONE) - own
    assert heavy[:2].abs().max() < 1e-11 and heavy[2:].abs().amax((1, 2, 3)).min() > 1e-6


def test_a_blend_over_all_pixels_is_none(bundle, x_T):
    """P2P Alg. 1 with α = 1: a threshold of 0 is exceeded everywhere."""
    words = (("pink", "red"), ("glasses",))
    out = run(bundle, x_T, blend=words, threshold=0.0)
    torch.testing.assert_close(out, run(bundle, x_T), **EXACT)


def test_a_blend_over_no_pixel_is_the_source(bundle, x_T):
    """P2P Alg. 1 with α = 0: nothing exceeds the largest value."""
    out = run(bundle, x_T, blend=(("red",), ("glasses",)), threshold=1.0, blend_from=0.0)
    source, target = out.chunk(2)
    torch.testing.assert_close(target, source, **EXACT)


def test_edits_of_a_batch_are_those_of_each(bundle, x_T):
    words = (("pink", "red"), ("glasses",))
    together = run(bundle, x_T, blend=words)
    for i in range(2):
        edit = editing(bundle, SOURCES[i : i + 1], TARGETS[i : i + 1], STEPS, W, W)
        alone = prompt_to_prompt(edit, x_T[i : i + 1], PromptToPrompt(blend=words[i : i + 1]))
        torch.testing.assert_close(alone, together[[i, 2 + i]], **EXACT)
    assert all(site.layer.control is None for site in sites(bundle.unet))


def test_an_image_need_not_be_square(bundle):
    """P2P Alg. 1: maps are laid out as the image is, not its mirror image."""
    wide = seed_noises([3, 5], (4, 6, 10)).double()
    words = (("pink", "red"), ("glasses",))
    source, target = run(bundle, wide, blend=words).chunk(2)
    edit = editing(bundle, SOURCES, TARGETS, STEPS, W, W)
    torch.testing.assert_close(source, reconstruct(edit, wide), **EXACT)
    assert target.shape == wide.shape and not torch.allclose(target, source)


def test_a_model_in_16_bits_is_edited_too(tiny, x_T):
    """The latents stay in float32, the maps are edited in float32."""
    half = load_model(str(tiny.model), "cpu", "bf16")
    out = run(half, x_T.float(), blend=(("red",), ("glasses",)), reweight=("person=2",))
    assert out.dtype == torch.float32 and out.isfinite().all()


def test_wrong_values_are_refused(bundle, x_T):
    with pytest.raises(ValueError, match=r"self must be in \[0, 1\], got 1.5"):
        PromptToPrompt(self_=1.5)
    with pytest.raises(ValueError, match="neither prompt has any of the words"):
        run(bundle, x_T, blend=(("beard",), ("glasses",)))
    with pytest.raises(ValueError, match="got words for 1 of 2 edits"):
        run(bundle, x_T, blend=(("red",),))
    with pytest.raises(ValueError, match="no map of cross-attention has 3"):
        run(bundle, x_T, blend=(("red",), ("glasses",)), pixels=3)
