"""Shifts of h: f_t in both layouts from their definition, tables and global shifts, new ones."""

import pytest
import torch
import torch.nn.functional as F

from latentgeo.models.bundles.delta_h import (
    DirectionTable,
    GlobalDirection,
    ImplicitDirection,
    ImplicitDirectionADM,
    embedding,
    groups_of,
    new_direction,
)
from latentgeo.models.bundles.image_model import new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS


def given(channels=6, temb=5, batch=3):
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(batch, channels, 2, 4, generator=generator, dtype=torch.float64)
    return h, torch.randn(batch, temb, generator=generator, dtype=torch.float64)


def conv(h, weight, bias):
    return torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], h) + bias[:, None, None]


def norm_silu(h, groups, weight, bias, eps):
    grouped = h.reshape(len(h), groups, -1)
    mean, var = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, unbiased=False)
    normed = ((grouped - mean) / (var + eps).sqrt()).reshape(h.shape)
    return F.silu(normed * weight[:, None, None] + bias[:, None, None])


def ddpm_layout(state, h, temb, groups):
    """f_t of DDPM's networks, from the tensors of a file."""
    shifted = conv(h, state["conv1.weight"], state["conv1.bias"])
    shifted = shifted + (
        F.silu(temb) @ state["temb_proj.weight"].T + state["temb_proj.bias"]
    ).reshape(*temb.shape[:1], -1, 1, 1)
    shifted = norm_silu(shifted, groups, state["norm2.weight"], state["norm2.bias"], 1e-6)
    return conv(shifted, state["conv2.weight"], state["conv2.bias"])


def adm_layout(state, h, temb, groups):
    """f_t of ADM's networks, from the tensors of a file."""
    first = norm_silu(h, groups, state["in_layers.0.weight"], state["in_layers.0.bias"], 1e-5)
    shifted = conv(first, state["in_layers.2.weight"], state["in_layers.2.bias"])
    shifted = shifted + (
        F.silu(temb) @ state["emb_layers.1.weight"].T + state["emb_layers.1.bias"]
    ).reshape(*temb.shape[:1], -1, 1, 1)
    weight, bias = state["out_layers.0.weight"], state["out_layers.0.bias"]
    last = norm_silu(shifted, groups, weight, bias, 1e-5)
    return conv(last, state["out_layers.3.weight"], state["out_layers.3.bias"])


@pytest.mark.parametrize(
    ("kind", "definition"),
    [(ImplicitDirection, ddpm_layout), (ImplicitDirectionADM, adm_layout)],
)
def test_f_t_from_its_definition(kind, definition):
    """Asyrp Sec. 3.4: 1 × 1 convolutions, the time in between, norms, SiLU, in float64.

    46 channels are 23 groups of two: a norm of groups of one would take the time away.
    """
    torch.manual_seed(0)
    found = kind(46, 5).double()
    for weight in found.parameters():
        torch.nn.init.normal_(weight)
    h, temb = given(channels=46)
    wanted = definition(found.state_dict(), h, temb, 23)
    torch.testing.assert_close(found(h, temb, torch.tensor([1, 2, 3])), wanted)


def test_a_table_has_a_shift_for_each_time():
    """The nearest of its times for each sample; nothing above the first or below the last."""
    shifts = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 2, 4, 5).clone() + 1
    table = DirectionTable([900, 600, 300], shifts)
    t = torch.tensor([901, 900, 460, 440, 300, 9])
    found = table(torch.zeros(6, 2, 4, 5), torch.zeros(6, 7), t)
    assert found[:, 1, 3, 2].tolist() == [0, 1, 2, 3, 3, 0]
    with pytest.raises(ValueError, match="got 2 for 3 shifts"):
        DirectionTable([900, 600], shifts)


def test_a_global_shift_is_the_same_for_all():
    """Asyrp Sec. 5.3a: one Δh whatever h and t are."""
    shift = torch.randn(2, 3, 4)
    found = GlobalDirection(shift)(torch.zeros(5, 2, 3, 4), torch.zeros(5, 1), torch.arange(5))
    assert torch.equal(found, shift[None])


@pytest.mark.parametrize("layer", ["h", "in", "down.0", "up.0"])
def test_a_new_f_t_fits_its_model(layer):
    """Of the layout, widths and dtype of the network; its first shift is small and not zero."""
    torch.manual_seed(0)
    model = new_image_model(TRAINED_PRESETS["tiny"]).to("cpu", torch.float64)
    direction = new_direction(model, layer)
    x, t = torch.randn(2, *model.shape, dtype=torch.float64), torch.tensor([1000, 3])
    h, _ = model.encode_h(x, t, layer=layer)
    found = direction(h, embedding(model, t), t)
    assert isinstance(direction, ImplicitDirection) and found.shape == h.shape
    assert found.abs().max() > 0


@pytest.mark.parametrize(("channels", "groups"), [(512, 32), (128, 32), (40, 20), (7, 7), (62, 31)])
def test_groups_divide_the_channels(channels, groups):
    assert groups_of(channels) == groups
