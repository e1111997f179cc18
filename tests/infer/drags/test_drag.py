"""Dragging a tiny model's latents: each stage, and the whole."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from latentgeo.core import drag
from latentgeo.infer.drags.defaults import SMALL, dragging_of
from latentgeo.infer.drags.drag import (
    Dragging,
    Latent,
    Request,
    denoise,
    drag_times,
    edit,
    invert,
    latent_mask,
    optimise,
    put_back,
)
from latentgeo.infer.drags.identity import Identity
from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    SamplingDefaults,
    TextToImage,
    load_bundle,
)

HOW = Dragging(
    steps=7, strength=0.6, iterations=5, lr=0.05, identity=Identity(rank=2, steps=2, batch=3)
)
HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_bundle(tiny.model)


@pytest.fixture(scope="module")
def image():
    small = torch.rand(1, 3, 3, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(small, size=(HEIGHT, WIDTH), mode="bilinear")


def points(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def request(editable=None, handles=((9, 10),), targets=((17, 10),)):
    mask = torch.zeros(HEIGHT, WIDTH)
    x0, y0, x1, y1 = editable or (0, 0, WIDTH, HEIGHT)
    mask[y0:y1, x0:x1] = 1
    return Request(handles=points(*handles), targets=points(*targets), mask=mask)


@pytest.fixture(scope="module")
def inverted(bundle, image):
    with torch.no_grad():
        context, z_0 = bundle.encode_text(["a sad person"]), bundle.encode(image)
    return context, z_0, invert(bundle, z_0, context, HOW)


def test_released_times_are_those_of_35_of_50_steps():
    """z_t at τ = 681 of the network's own index, from 981, 961, ..., 1."""
    sd = TextToImage.__new__(TextToImage)
    sd.config, sd.schedule = BundleConfig(), load_schedule()
    visited = drag_times(sd, Dragging())
    assert visited[0] - 1 == 681 and visited[-2:] == (2, 1) and len(visited) == 36
    assert drag_times(sd, Dragging(strength=1.0))[0] - 1 == 981


def load_schedule():
    from latentgeo.core.schedule import scaled_linear

    return scaled_linear()


def test_released_settings_are_the_default_above_small_models(bundle):
    how = Dragging()
    assert (how.steps, how.strength, how.iterations, how.lr) == (50, 0.7, 80, 0.01)
    assert (how.cell, how.motion_radius, how.track_radius) == (2, 1, 3)
    assert (how.mask_weight, how.tolerance, how.reference_step) == (0.1, 2, 0)
    assert dragging_of(bundle) is SMALL
    large = TextToImage.__new__(TextToImage)
    large.config = BundleConfig(sampling=SamplingDefaults(size=512))
    assert dragging_of(large) == how


def test_refined_inversion_comes_back_to_the_image(bundle, inverted):
    """Drag Sec. 3.4: denoised from z_t without a drag, the latent is the encoded one's."""
    context, z_0, _ = inverted
    how = replace(HOW, strength=0.3, refine=15, reference_step=99)
    z_t = invert(bundle, z_0, context, how)
    original, edited = denoise(bundle, z_t, z_t, context, torch.ones(HEIGHT, WIDTH), how)
    torch.testing.assert_close(original, z_0, rtol=0, atol=3e-3)  # 15 rounds leave 1e-3
    torch.testing.assert_close(edited, original)


def test_features_are_a_map_of_the_image_with_so_many_pixels_to_a_cell(bundle, inverted):
    context, _, z_t = inverted
    for cell, size in ((2.0, (12, 20)), (1.0, (24, 40)), (5.0, (5, 8))):
        latent = Latent(bundle, context, replace(HOW, cell=cell), (HEIGHT, WIDTH))
        features, below, x_0 = latent.look(z_t)
        assert features.shape[1:] == size and below.shape == x_0.shape == z_t.shape


def test_below_is_one_ddim_step_of_the_model(bundle, inverted):
    """Drag Eq. 3: ẑ_{t-1}, on the straight line of DDIM between ẑ_t and x̂_0."""
    context, _, z_t = inverted
    latent = Latent(bundle, context, HOW, (HEIGHT, WIDTH))
    _, below, x_0 = latent.look(z_t)
    bar = bundle.schedule.alpha_bar.float()
    now, after = bar[latent.t], bar[latent.t_prev]
    eps = bundle.predict(context)(z_t, torch.tensor([latent.t]))
    torch.testing.assert_close(z_t, now.sqrt() * x_0 + (1 - now).sqrt() * eps)
    torch.testing.assert_close(below, after.sqrt() * x_0 + (1 - after).sqrt() * eps)


def test_first_update_is_adams_against_the_gradient_of_the_loss(bundle, inverted):
    """Drag Eq. 4: ẑ^1 = ẑ^0 - η sign(∂L_ms/∂ẑ), Adam's first step; the mask term is still 0."""
    context, _, z_t = inverted
    how, wanted = replace(HOW, iterations=1), request()
    latent = Latent(bundle, context, how, (HEIGHT, WIDTH))
    z = z_t.clone().requires_grad_()
    features, _, _ = latent.look(z)
    handles, targets = (p.float() / 2 - 0.25 for p in (wanted.handles, wanted.targets))
    loss = drag.motion_supervision_official(features, handles, drag.directions(handles, targets), 1)
    (gradient,) = torch.autograd.grad(loss, z)
    moved = optimise(bundle, z_t, context, wanted, how)
    clear = gradient.abs() > 1e-4 * gradient.abs().max()
    step = (moved.z - z_t)[clear]
    torch.testing.assert_close(step, -how.lr * gradient.sign()[clear], rtol=1e-2, atol=1e-5)
    assert moved.losses == [pytest.approx(loss.item(), rel=1e-4)]


def test_tracks_start_at_the_handles_and_the_loss_is_of_every_update(bundle, inverted):
    """Drag Eq. 5: one place per update, in pixels of the image, inside it."""
    context, _, z_t = inverted
    seen = []
    wanted = request(handles=((9, 10), (20, 3)), targets=((17, 10), (20, 21)))
    moved = optimise(
        bundle, z_t, context, wanted, HOW, lambda k, x_0, now: seen.append((k, x_0, now))
    )
    assert len(moved.tracks) == HOW.iterations + 1 and len(moved.losses) == HOW.iterations
    assert torch.equal(moved.tracks[0], wanted.handles)
    assert [k for k, _, _ in seen] == list(range(HOW.iterations + 1))
    assert all(x_0.shape == z_t.shape and not x_0.requires_grad for _, x_0, _ in seen)
    assert all(
        torch.equal(now, there) for (_, _, now), there in zip(seen, moved.tracks, strict=True)
    )
    for now in moved.tracks:
        assert (now >= 0).all() and (now <= points([WIDTH - 1, HEIGHT - 1])).all()
    for before, now in pairwise(moved.tracks):
        assert (now - before).abs().max() <= HOW.cell * HOW.track_radius + 1e-4
    assert not z_t.requires_grad and not moved.z.requires_grad


def test_handles_that_are_there_are_left_alone(bundle, inverted):
    context, _, z_t = inverted
    there = request(handles=((9, 10),), targets=((10, 10),))
    moved = optimise(bundle, z_t, context, there, replace(HOW, tolerance=1.0))
    assert moved.losses == [] and torch.equal(moved.z, z_t)


def test_a_handle_that_is_done_is_no_longer_supervised(bundle, inverted):
    """Drag Eq. 3: beside a handle on its way it adds nothing to the first loss."""
    context, _, z_t = inverted
    how = replace(HOW, iterations=1)
    alone = request(handles=((9, 10),), targets=((17, 10),))
    beside = request(handles=((9, 10), (30, 5)), targets=((17, 10), (31, 5)))
    losses = [optimise(bundle, z_t, context, one, how).losses for one in (alone, beside)]
    assert losses[0] == losses[1]


def test_a_heavier_mask_term_keeps_what_it_protects(bundle, inverted):
    """Drag Eq. 3: the protected part of ẑ_{t-1} moves less with a larger λ."""
    context, _, z_t = inverted
    wanted = request(editable=(0, 0, 20, HEIGHT))
    change = {}
    for weight in (0.0, 10.0):
        how = replace(HOW, mask_weight=weight, iterations=9, lr=0.02)
        moved = optimise(bundle, z_t, context, wanted, how)
        change[weight] = (moved.z - z_t)[..., 5:].abs().mean().item()
    assert change[10.0] < 0.8 * change[0.0]


def test_latent_mask_is_of_most_pixels_of_a_cell():
    mask = torch.zeros(8, 12)
    mask[:, :6] = 1
    mask[0, 6:] = 1
    found = latent_mask(mask, torch.zeros(1, 4, 2, 3))
    assert found.tolist() == [[1, 1, 0], [1, 1, 0]]


def test_protected_latents_are_the_originals(bundle, inverted):
    """Drag Sec. 3.5: both are denoised side by side; what the mask protects is the original's."""
    context, _, z_t = inverted
    wanted = request(editable=(0, 0, 20, HEIGHT))
    how = replace(HOW, protect=True)
    original, edited = denoise(bundle, z_t, z_t + 0.3, context, wanted.mask, how)
    assert torch.equal(edited[..., 5:], original[..., 5:])
    assert not torch.allclose(edited[..., :5], original[..., :5])


def test_the_original_is_denoised_as_if_alone_and_the_edited_looks_at_it(bundle, inverted):
    """Drag Sec. 3.5: K and V from the first layer or step asked for on."""
    context, _, z_t = inverted
    everywhere, found = torch.ones(HEIGHT, WIDTH), {}
    last = len(drag_times(bundle, HOW)) - 2
    for name, changes in {
        "never": {"reference_step": 99},
        "always": {"reference_layer": 0},
        "late": {"reference_layer": 0, "reference_step": last},
        "default": {},
    }.items():
        how = replace(HOW, **changes)
        found[name] = denoise(bundle, z_t, z_t + 0.3, context, everywhere, how)
    for original, _ in found.values():
        torch.testing.assert_close(original, found["never"][0], rtol=1e-4, atol=1e-4)
    edits = [edited for _, edited in found.values()]
    assert all(not torch.allclose(edits[i], edits[j]) for i in range(4) for j in range(i))


def test_pixels_put_back_are_the_originals_and_fade_inside_the_mask():
    mask = torch.zeros(13, 17)
    mask[2:11, 3:14] = 1
    original, decoded = torch.zeros(3, 13, 17), torch.ones(3, 13, 17)
    found = put_back(decoded, original, mask)
    assert (found[:, mask == 0] == 0).all() and (found[:, 5:8, 6:11] == 1).all()
    assert 0 < found[0, 2, 3] < found[0, 4, 5] < 1


def test_edit_is_repeatable_and_leaves_the_model_as_it_was(bundle, image):
    """Drag Sec. 3.2: the stages together."""
    before = {name: weight.clone() for name, weight in bundle.unet.state_dict().items()}
    wanted = request(editable=(0, 0, 20, HEIGHT))
    runs = [
        edit(bundle, image, "a sad person", wanted, replace(HOW, protect=protect), seed=3)
        for protect in (True, True, False)
    ]
    assert torch.equal(runs[0].edited, runs[1].edited)
    assert torch.equal(runs[2].edited, runs[2].decoded)
    kept = wanted.mask == 0
    assert torch.equal(runs[0].edited[:, kept], runs[0].original[:, kept])
    assert not torch.allclose(runs[2].edited, runs[2].original)
    after = bundle.unet.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"strength": 0.0}, "strength"),
        ({"strength": 1.2}, "strength"),
        ({"iterations": 0}, "iterations"),
        ({"lr": float("nan")}, "lr"),
        ({"mask_weight": -1.0}, "mask_weight"),
        ({"tolerance": 0.0}, "tolerance"),
    ],
)
def test_settings_no_drag_could_use_are_refused(changes, name):
    with pytest.raises(ValueError, match=name):
        Dragging(**changes)


def test_points_outside_the_image_are_refused():
    with pytest.raises(ValueError, match=r"got targets .* wanted x in 0 to 39 and y in 0 to 23"):
        request(targets=((40, 10),))
    with pytest.raises(ValueError, match=r"got handles "):
        request(handles=((-1, 10),))
    with pytest.raises(ValueError, match="1 and 2"):
        request(targets=((1, 10), (2, 3)))


def test_a_stage_the_decoder_lacks_is_refused(bundle, inverted):
    context, _, z_t = inverted
    with pytest.raises(ValueError, match="stage: got 9"):
        optimise(bundle, z_t, context, request(), replace(HOW, stage=9))
