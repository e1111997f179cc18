"""Shifts at any layer and at ε: beside DDIM, beside steps by hand, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.infer.semantic.editing import Attribute, Editing, edit, editing_times
from latentgeo.infer.semantic.layers import EPS, check_layer, place_of, shiftable
from latentgeo.models.bundles.delta_h import (
    DirectionTable,
    GlobalDirection,
    embedding,
    new_direction,
)
from latentgeo.models.unet_layers import layers
from tests.infer.semantic.test_editing import given
from tests.models.bundles.test_image_model import CONFIGS
from tests.models.test_unet_layers import hooked

CASES = [(name, layer) for name in CONFIGS for layer in ("in", "down.1", "h", "up.0", EPS)]
each = pytest.mark.parametrize(("name", "layer"), CASES)


def direction_at(model, layer, times):
    """An f_t of some size, or for ε a table."""
    torch.manual_seed(3)
    if layer == EPS:
        return DirectionTable(times, 0.3 * torch.randn(len(times), *model.shape).double())
    found = new_direction(model, layer)
    for weight in found.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return found.requires_grad_(False)


@each
@torch.no_grad()
def test_a_shift_of_zero_is_ddim_wherever_it_enters(name, layer):
    """Asyrp Eq. 5: to the bit, of every network."""
    model, x, labels = given(name, torch.float32)
    visited = editing_times(model.schedule, 4)
    wanted = ddim.sample(
        lambda x, t: denoiser_of(model, labels)(x, t)[0], model.schedule, x, visited
    )
    t = torch.full((len(x),), visited[0])
    h, _ = shiftable(model, x, t, labels, layer)
    none = GlobalDirection(torch.zeros_like(h[0]))
    one = Attribute(direction=none, t_edit=1, S=3, layer=layer)
    editing = Editing(attributes=[one], scales=torch.ones(len(x), 1))
    assert torch.equal(edit(model, x, editing, visited, labels=labels), wanted)


@each
@pytest.mark.parametrize("prediction", ["eps", "v"])
@torch.no_grad()
def test_steps_by_hand(name, layer, prediction):
    """Asyrp Eq. 6, Asyrp Sec. 3.2, Asyrp Sec. D.3: ᾱ as numbers, shifts of a layer put by hooks."""
    model, x, labels = given(name, prediction=prediction)
    visited, bars = editing_times(model.schedule, 4), model.schedule.alpha_bar
    half = model.schedule.T // 2
    direction = direction_at(model, layer, [t for t in visited if t >= half])
    one = Attribute(direction=direction, t_edit=half, S=7, layer=layer)
    found = edit(
        model,
        x,
        Editing(attributes=[one], scales=torch.full((len(x), 1), -1.5)),
        visited,
        labels=labels,
    )
    for t, t_prev in pairwise(visited):
        a, b, now = bars[t], bars[t_prev], torch.full((len(x),), t)

        def clipped(output, extra, x=x, a=a):
            if prediction == "v":
                output = a.sqrt() * output + (1 - a).sqrt() * x
            P = (x - (1 - a).sqrt() * (output + extra)) / a.sqrt()
            P = P.clamp(-1, 1) if model.config.sampling.clip else P
            return P, (x - a.sqrt() * P) / (1 - a).sqrt()

        def delta(h, now=now, t=t):
            acts = 7 / 4 * -1.5 if t >= half else 0.0
            return acts * direction(h, embedding(model, now, labels), now)

        raw = model.raw(labels)(x, now)[:, :3]
        _, eps = clipped(raw, 0)
        if layer == EPS:
            P, _ = clipped(raw, delta(x))
        else:
            P, _ = clipped(hooked(model, layer, delta, x, now, labels)[0], 0)
        x = b.sqrt() * P + (1 - b).sqrt() * eps
    torch.testing.assert_close(found, x, rtol=1e-7, atol=1e-7)


def test_what_it_refuses():
    """Layers that there are not, and shifts at two layers at once; ε is behind all layers."""
    model, _, _ = given("ddpm")
    with pytest.raises(ValueError, match=r"layer: got 'mid', wanted one of in, .*, up\.0, eps"):
        check_layer(model, "mid")
    assert place_of(model, "h") == (5, 9) and place_of(model, EPS) == (9, 9)
    assert len(layers(3)) == 8
    one = Attribute(direction=GlobalDirection(torch.zeros(1)), t_edit=1, S=3)
    with pytest.raises(ValueError, match=r"layer: got attributes of h, up\.0, wanted one for all"):
        Editing(attributes=[one, replace(one, layer="up.0")], scales=torch.zeros(1, 2))
