"""Plug-and-Play on a tiny model in float64: its identities, and that each part does something."""

import pytest
import torch

from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import Sampling, denoise, seed_noises
from latentgeo.infer.text_edits.editing import editing, reconstruct, side_by_side
from latentgeo.infer.text_edits.plug_and_play import (
    PlugAndPlay,
    feature_block,
    injected,
    plug_and_play,
)
from latentgeo.kernels.attention.op import attention
from latentgeo.models.attention_control import controlled, sites
from latentgeo.models.unet import UNet, UNetConfig

SOURCES = ["a smiling person with red hair", "a sad person"]
TARGETS = ["a smiling person with pink hair", "a sad person with glasses"]
STEPS, W = 5, 2.5
EXACT = {"rtol": 0, "atol": 1e-11}


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_model(str(tiny.model), "cpu", "fp64")


@pytest.fixture(scope="module")
def x_T(bundle):
    return seed_noises([3, 5], bundle.latent_shape).double()


def run(bundle, x_T, targets=TARGETS, own=W, **how):
    edit = editing(bundle, SOURCES, targets, STEPS, W, own)
    return plug_and_play(edit, x_T, PlugAndPlay(**how))


def test_nothing_injected_is_plain_generation(bundle, x_T):
    """PnP Alg. 1 with both thresholds at the first step."""
    sampling = Sampling(steps=STEPS, guidance=W)
    plain = [denoise(bundle, x_T, prompts, sampling) for prompts in (SOURCES, TARGETS)]
    out = run(bundle, x_T, features=0.0, attention=0.0)
    torch.testing.assert_close(out, torch.cat(plain), **EXACT)


@pytest.mark.parametrize("own", [W, 1.0])
def test_the_source_is_never_touched(bundle, x_T, own):
    """PnP Alg. 1: x^G is its own, with and without a half under ∅_t."""
    edit = editing(bundle, SOURCES, TARGETS, STEPS, W, own)
    source = run(bundle, x_T, own=own, features=1.0, attention=1.0).chunk(2)[0]
    torch.testing.assert_close(source, reconstruct(edit, x_T), **EXACT)


def test_its_own_features_change_nothing(bundle, x_T):
    """PnP Alg. 1 at w = 1 with P the source's prompt: f* = f and A* = A already."""
    edit = editing(bundle, SOURCES, SOURCES, STEPS, 1.0, 1.0)
    out = plug_and_play(edit, x_T, PlugAndPlay(features=1.0, attention=1.0))
    rebuilt = reconstruct(edit, x_T)
    torch.testing.assert_close(out, torch.cat([rebuilt, rebuilt]), **EXACT)


def test_features_and_attention_each_change_the_target(bundle, x_T):
    """PnP Alg. 1: each is put in at the share of the steps that is asked for."""
    plain = run(bundle, x_T, features=0.0, attention=0.0).chunk(2)[1]
    for how in ({"features": 1.0, "attention": 0.0}, {"features": 0.0, "attention": 1.0}):
        changed = run(bundle, x_T, **how).chunk(2)[1]
        assert (changed - plain).abs().amax((1, 2, 3)).min() > 1e-6
    assert all(site.layer.control is None for site in sites(bundle.unet))


def test_the_block_decides_what_is_injected(bundle, x_T):
    outs = [run(bundle, x_T, block=block) for block in (None, 1, 3)]
    torch.testing.assert_close(outs[0], outs[1], **EXACT)  # a third of four blocks
    assert (outs[2] - outs[1]).abs().max() > 1e-6
    with pytest.raises(ValueError, match=r"block must lie in 0\.\.3 .* got 4"):
        run(bundle, x_T, block=4)


def test_attention_of_the_block_itself_is_injected(bundle, x_T):
    """PnP Alg. 1: A of the blocks from the chosen one on, as the last one that has any shows."""
    last = max(s.decoder for s in sites(bundle.unet) if not s.cross and s.decoder is not None)
    plain = run(bundle, x_T, features=0.0, attention=0.0)
    own = run(bundle, x_T, block=last, features=0.0, attention=1.0)
    assert (own - plain).abs().max() > 1e-6


def test_attention_is_injected_where_pixels_look_at_pixels(bundle, x_T):
    """PnP Alg. 1: A is self-attention, softmax of the source's Q and K, on the target's own V."""
    edit = editing(bundle, SOURCES, TARGETS, STEPS, W, W)
    own = [s for s in sites(bundle.unet) if not s.cross and s.decoder is not None]

    def attend(site, q, k, v):
        return attention(injected(q, 2), injected(k, 2), v)

    wanted = side_by_side(edit, x_T, lambda i: controlled(own, attend))
    found = plug_and_play(edit, x_T, PlugAndPlay(features=0.0, attention=1.0, block=0))
    torch.testing.assert_close(found, wanted, **EXACT)


def test_the_published_block_is_a_third_of_the_way_up():
    """PnP Alg. 1: f^4 of Stable Diffusion's blocks 0 to 11."""
    with torch.device("meta"):
        assert feature_block(UNet(UNetConfig()), None) == 4


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(4, "0101"), (6, "010101"), (8, "01010167")],
)
def test_rows_under_the_empty_prompt_are_injected_where_they_are_the_targets(rows, expected):
    """PnP Alg. 1: two sources, their targets, the targets under ∅_t, the sources under ∅_t."""
    x = torch.arange(rows).reshape(-1, 1, 1)
    assert injected(x, 2).flatten().tolist() == [int(digit) for digit in expected]


def test_edits_of_a_batch_are_those_of_each(bundle, x_T):
    together = run(bundle, x_T)
    edit = editing(bundle, SOURCES[1:], TARGETS[1:], STEPS, W, W)
    alone = plug_and_play(edit, x_T[1:], PlugAndPlay())
    torch.testing.assert_close(alone, together[[1, 3]], **EXACT)


def test_shares_outside_the_steps_are_refused():
    with pytest.raises(ValueError, match=r"features must be in \[0, 1\], got 2"):
        PlugAndPlay(features=2.0)
