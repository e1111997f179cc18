"""The edited half of a batch attends to the reference half, from a layer on, and only meanwhile."""

import pytest
import torch
import torch.nn.functional as F

from latentgeo.models.lora.adapter import attach, detach, lora_parameters
from latentgeo.models.reference_attention import (
    first_fine_layer,
    reference_attention,
    self_attentions,
)
from latentgeo.models.unet import UNet, UNetConfig

SMALL = UNetConfig(
    channels=(8, 16, 24), attention=(True, True, False), blocks=1, heads=2, context=7, groups=4
)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return UNet(SMALL).double().requires_grad_(False)


def inputs(batch):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 4, 12, 8, generator=generator, dtype=torch.float64)
    context = torch.randn(1, 5, 7, generator=generator, dtype=torch.float64)
    return x, torch.full((batch,), 313), context.expand(batch, -1, -1)


def test_published_layer_of_stable_diffusion():
    """16 self-attentions, of which the released code takes the tenth and those behind it."""
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    assert len(self_attentions(unet)) == 16
    assert first_fine_layer(unet) == 10


def test_layers_are_counted_in_the_order_in_which_they_run(unet):
    ran = []
    for i, site in enumerate(self_attentions(unet)):
        site.layer.register_forward_pre_hook(lambda *_, i=i: ran.append(i))
    unet(*inputs(2))
    assert ran == list(range(len(ran))) and len(ran) == 2 + 1 + 4
    assert first_fine_layer(unet) == 5


def test_a_layer_attends_by_its_own_queries_to_the_references_keys_and_values(unet):
    """Drag Sec. 3.5: softmax(Q K_refᵀ / √d) V_ref, written out with its weights."""
    layer = self_attentions(unet)[0].layer
    x = torch.randn(6, 11, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with reference_attention(unet, 0):
        found = layer(x)
    reference = torch.cat([x[:3], x[:3]])
    q, k, v = (
        x @ layer.to_q.weight.T,
        reference @ layer.to_k.weight.T,
        reference @ layer.to_v.weight.T,
    )
    q, k, v = (part.reshape(6, 11, 2, 4).transpose(1, 2) for part in (q, k, v))
    attended = F.softmax(q @ k.transpose(2, 3) / 4**0.5, dim=-1) @ v
    wanted = layer.to_out[0](attended.transpose(1, 2).reshape(6, 11, 8))
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found[3:], layer(x)[3:])


def test_the_reference_half_is_what_it_is_alone(unet):
    """Drag Sec. 3.5: the original image is denoised as if nothing was edited beside it."""
    x, t, context = inputs(4)
    alone = unet(x[:2], t[:2], context[:2])
    with reference_attention(unet, 0):
        both = unet(x, t, context)
    torch.testing.assert_close(both[:2], alone)
    assert not torch.allclose(both[2:], unet(x[2:], t[2:], context[2:]))


def test_equal_halves_change_nothing(unet):
    x, t, context = inputs(2)
    x = torch.cat([x[:1], x[:1]])
    with reference_attention(unet, 0):
        both = unet(x, t, context)
    torch.testing.assert_close(both, unet(x, t, context))


def test_only_the_layers_asked_for_and_only_inside_the_block(unet):
    x, t, context = inputs(2)
    plain = unet(x, t, context)
    found = {}
    for first in (None, 0, 5, 6, 7):
        with reference_attention(unet, first):
            found[first] = unet(x, t, context)
    assert torch.equal(found[None], plain) and torch.equal(unet(x, t, context), plain)
    assert torch.equal(found[7], plain)
    assert not torch.allclose(found[6], plain) and not torch.allclose(found[5], found[6])
    with pytest.raises(KeyError), reference_attention(unet, 0):
        raise KeyError
    assert torch.equal(unet(x, t, context), plain)
    assert all(site.layer.control is None for site in self_attentions(unet))


def test_adapters_on_the_projections_see_the_reference(unet):
    """A LoRA is on to_k and to_v themselves, so it is part of K_ref and V_ref."""
    x, t, context = inputs(2)
    attach(unet, rank=3)
    for weight in lora_parameters(unet):
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(3))
    with reference_attention(unet, 0):
        adapted = unet(x, t, context)
    detach(unet)
    with reference_attention(unet, 0):
        assert not torch.allclose(adapted, unet(x, t, context))


@pytest.mark.parametrize("first", [-1, 8])
def test_a_wrong_layer_is_refused(unet, first):
    message = rf"got {first}, wanted 0 to 6, .* or 7: none"
    with pytest.raises(ValueError, match=message), reference_attention(unet, first):
        pass


def test_a_batch_without_halves_is_refused(unet):
    with pytest.raises(RuntimeError, match="batch of 3"), reference_attention(unet, 0):
        unet(*inputs(3))
