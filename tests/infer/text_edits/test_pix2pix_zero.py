"""Pix2Pix-Zero on a tiny model in float64: what must not change does not, and gradients are."""

import pytest
import torch

from latentgeo.core import pix2pix_zero as zero
from latentgeo.core.pix2pix_zero import Whitening
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.text_edits.editing import editing, invert, reconstruct
from latentgeo.infer.text_edits.methods import run_edit
from latentgeo.infer.text_edits.pix2pix_zero import (
    PixToPixZero,
    Sentences,
    directions,
    inverted,
    maps,
    moved,
    pix2pix_zero,
    sentences_of,
)
from latentgeo.infer.text_edits.settings import EditOptions
from latentgeo.models.attention_control import sites
from latentgeo.models.judges.captions import parse_caption

SOURCES = ("a smiling person with short red hair", "a sad person")
TARGETS = ("a smiling person with short pink hair", "a sad person with glasses")
PAIRS = tuple(zip(SOURCES, TARGETS, strict=True))
STEPS, W = 4, 2.5
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_model(str(tiny.model), "cpu", "fp64")


@pytest.fixture(scope="module")
def x_T(bundle):
    return seed_noises([3, 5], bundle.latent_shape).double()


def edit_of(bundle, targets=TARGETS, own=1.0, w=W):
    return editing(bundle, SOURCES, targets, STEPS, w, own)


def drawn(pairs=PAIRS, count=3):
    return tuple(sentences_of(*pair, count) for pair in pairs)


def same():
    return drawn(zip(SOURCES, SOURCES, strict=True))


def test_sentences_differ_as_the_prompts_do_and_in_nothing_else():
    """PixZero Sec. 3.2: the word changes; what both state is another face's."""
    for (source, target), found in zip(PAIRS, drawn(count=20), strict=True):
        assert len(set(found.source)) > 3
        change = parse_caption(source).items() ^ parse_caption(target).items()
        for one, other in zip(found.source, found.target, strict=True):
            assert parse_caption(one).items() ^ parse_caption(other).items() == change
    assert sentences_of("a dog", "a cat", 9) == Sentences(source=("a dog",), target=("a cat",))


def test_a_direction_is_of_each_edits_sentences(bundle):
    """PixZero Sec. 3.2: one sentence on either side is the difference of two embeddings."""
    own = tuple(Sentences(source=(s,), target=(t,)) for s, t in PAIRS)
    expected = bundle.encode_text(TARGETS) - bundle.encode_text(SOURCES)
    torch.testing.assert_close(directions(bundle, own), expected, **EXACT)
    context = moved(edit_of(bundle), own).target.context
    torch.testing.assert_close(context, bundle.encode_text(TARGETS), **EXACT)


@pytest.mark.parametrize("own", [1.0, W])
def test_without_guidance_and_direction_it_is_plain_inversion(bundle, x_T, own):
    """PixZero Alg. 1, PixZero Sec. 3.1b: λ_xa = 0 and Δc = 0 give the reconstruction, twice."""
    edit = edit_of(bundle, own=own, w=own)
    how = PixToPixZero(sentences=same(), map_weight=0.0)
    plain = reconstruct(edit, x_T)
    torch.testing.assert_close(pix2pix_zero(edit, x_T, how), torch.cat([plain, plain]), **EXACT)
    z_0 = 0.5 * x_T
    noise = inverted(edit, z_0, Whitening(rounds=0))
    assert torch.equal(noise, invert(bundle, z_0, SOURCES, edit.times, 0))
    options = EditOptions(map_guidance=0.0, whitening=0)
    found = run_edit(edit, "pix2pix-zero", options, noise, z_0, lambda n: z_0)
    plain = reconstruct(moved(edit, drawn(count=64)), noise)
    target = run_edit(edit_of(bundle, own=own, w=own), "pix2pix-zero", options, noise, z_0, None)
    assert torch.equal(found, target) and (found - plain).abs().max() > 1e-9


def pairs_of_pixels(noise, reach=4):
    """Return N Σ ρ² (B,) over pixels 1 to 4 apart along either axis: χ² of 8 if noise is white."""
    noise = noise - noise.mean((1, 2, 3), keepdim=True)
    total = torch.zeros(len(noise))
    for apart in range(1, reach + 1):
        for axis in (2, 3):
            size = noise.shape[axis] - apart
            products = noise.narrow(axis, apart, size) * noise.narrow(axis, 0, size)
            rho = products.mean((1, 2, 3)) / noise.var((1, 2, 3))
            total += products[0].numel() * rho**2
    return total


def test_whitened_inversion_passes_the_test_that_ddim_fails():
    """PixZero Sec. 3.1b: held-out faces, embedded model, released rounds; χ²_8 at 1 % is 20.09."""
    bundle = load_model("avatars")
    held = captioned("avatars", "test", ("avatars",)).chosen(3, 1)
    z_0 = bundle.encode(held.images(64)).float()
    edit = editing(bundle, held.captions, held.captions, 25, 1.0, 1.0)
    plain, white = (inverted(edit, z_0, Whitening(rounds=n)) for n in (0, 5))
    assert (pairs_of_pixels(plain) > 20.09).all()
    assert (pairs_of_pixels(white) < 20.09).all()
    assert (pairs_of_pixels(torch.randn(200, 4, 16, 16)) > 20.09).float().mean() < 0.05


def test_maps_that_agree_already_are_left_alone(bundle, x_T):
    """PixZero Sec. 3.3, PixZero Alg. 1: Δc = 0 at one w gives one image, at any λ_xa."""
    edit = edit_of(bundle, own=W)
    source, target = pix2pix_zero(edit, x_T, PixToPixZero(sentences=same(), map_weight=9.0)).chunk(
        2
    )
    torch.testing.assert_close(source, reconstruct(edit, x_T), **EXACT)
    torch.testing.assert_close(target, source, **EXACT)


def test_guidance_leads_to_the_sources_maps(bundle, x_T):
    """PixZero Alg. 1: with more guidance the edit's maps end nearer; the source stays."""
    edit = edit_of(bundle)
    end = torch.full((2,), edit.times[-2])
    apart, sources = [], []
    for weight in (0.0, 0.3, 1.0):
        both = pix2pix_zero(edit, x_T, PixToPixZero(sentences=drawn(), map_weight=weight))
        source, target = both.chunk(2)
        change = moved(edit, drawn()).target.context
        seen = maps(edit, target, end, change), maps(edit, source, end, edit.source.context)
        apart.append(zero.map_distance(*seen).sum().item())
        sources.append(source)
    assert apart[2] < apart[1] < apart[0]
    assert all(torch.equal(one, sources[0]) for one in sources)


def test_the_gradient_through_the_network_is_that_of_finite_differences(bundle, x_T):
    """PixZero Sec. 3.3: ∇_{x_t} ‖M_t^edit - M_t^ref‖², along random directions."""
    edit, t = edit_of(bundle), torch.full((2,), 500)
    kept = maps(edit, x_T, t, edit.source.context)
    assert len(kept) == sum(site.cross for site in sites(bundle.unet))

    def seen(x):
        return maps(edit, x, t, edit.target.context)

    slope = x_T - zero.guided_by_maps(seen, x_T, kept, 1.0)
    for seed in (1, 2):
        along = seed_noises([seed, seed + 10], x_T.shape[1:]).double()
        ahead, behind = (zero.map_distance(seen(x_T + h * along), kept) for h in (1e-4, -1e-4))
        measured = (ahead - behind) / 2e-4
        torch.testing.assert_close(
            (slope * along).flatten(1).sum(1), measured, rtol=1e-5, atol=1e-9
        )


def test_taking_the_maps_out_changes_no_noise(bundle, x_T):
    edit, t = edit_of(bundle), torch.full((2,), 500)
    before = edit.predict(x_T, t, edit.source.context)
    for one in maps(edit, x_T, t, edit.source.context):
        torch.testing.assert_close(one.sum(-1), torch.ones_like(one.sum(-1)))
    assert torch.equal(edit.predict(x_T, t, edit.source.context), before)
