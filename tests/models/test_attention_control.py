"""Attention under control: where it is, that it is the kernels' own, that nothing stays behind."""

import pytest
import torch

from latentgeo.kernels.attention.op import attention
from latentgeo.models.attention_control import controlled, probabilities, sites
from latentgeo.models.bundles.presets import UNET_PRESETS
from latentgeo.models.layers import Attention
from latentgeo.models.unet import UNet, UNetConfig


@pytest.fixture(scope="module")
def unet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet(UNET_PRESETS["tiny"]).double().eval().requires_grad_(False)


def inputs(seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 4, 7, 5, dtype=torch.float64, generator=draw)
    context = torch.randn(3, 11, 16, dtype=torch.float64, generator=draw)
    return x, torch.tensor([3, 400, 999]), context


def own(site, q, k, v):
    """The attention that is replaced, from its probabilities."""
    return probabilities(q, k) @ v


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_are_the_kernels(dtype):
    """LDM Sec. 3.3: softmax(Q Kᵀ / √d) · V, to 1e-6 in float32."""
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 13, 7, generator=draw).to(dtype)
    k, v = torch.randn(2, 2, 3, 11, 7, generator=draw).to(dtype)
    p = probabilities(q, k)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(p.sum(-1), torch.ones_like(p[..., 0]))
    torch.testing.assert_close(p @ v, attention(q, k, v), rtol=0, atol=tolerance)


def test_half_precision_is_computed_in_float32():
    q, k = torch.randn(2, 1, 2, 5, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert torch.equal(probabilities(q, k), probabilities(q.float(), k.float()))


def test_control_that_does_the_same_changes_nothing(unet):
    x, t, context = inputs()
    plain = unet(x, t, context)
    with controlled(sites(unet), own):
        torch.testing.assert_close(unet(x, t, context), plain, rtol=1e-12, atol=1e-12)
    assert torch.equal(unet(x, t, context), plain)
    assert all(site.layer.control is None for site in sites(unet))


def test_each_listed_site_runs_once_in_order_with_its_shapes(unet):
    seen, places = [], sites(unet)

    def control(site, q, k, v):
        height, width = site.size((7, 5))
        assert q.shape == (3, 2, height * width, q.shape[-1])
        assert k.shape[2] == (11 if site.cross else height * width)
        seen.append(site)
        return own(site, q, k, v)

    with controlled(places, control):
        unet(*inputs())
    assert seen == list(places)
    assert len(places) == sum(isinstance(layer, Attention) for layer in unet.modules())
    seen.clear()
    with controlled([site for site in places if site.cross], control):
        unet(*inputs())
    assert seen == [site for site in places if site.cross]


def test_a_changed_map_changes_the_output(unet):
    x, t, context = inputs()
    with controlled([site for site in sites(unet) if site.cross], lambda s, q, k, v: 0 * q):
        deaf = unet(x, t, context)
        torch.testing.assert_close(unet(x, t, 3 * context), deaf, rtol=0, atol=0)
    assert (unet(x, t, context) - deaf).abs().max() > 1e-3


def test_nothing_stays_behind_after_an_error_and_none_is_controlled_twice(unet):
    places = sites(unet)
    with pytest.raises(ZeroDivisionError), controlled(places, lambda *args: 1 / 0):
        unet(*inputs())
    with controlled(places[:1], own):
        with pytest.raises(RuntimeError, match="controlled already"):
            controlled(places, own).__enter__()
        assert places[0].layer.control is not None and places[1].layer.control is None
    assert all(site.layer.control is None for site in places)


def test_sites_of_stable_diffusion():
    """Sixteen of each kind; those on the way up from block 4 on are Plug-and-Play's eight."""
    with torch.device("meta"):
        places = sites(UNet(UNetConfig()))
    assert [sum(site.cross == kind for site in places) for kind in (True, False)] == [16, 16]
    up = [s.decoder for s in places if s.decoder is not None and s.decoder >= 4 and not s.cross]
    assert up == [4, 5, 6, 7, 8, 9, 10, 11]
    sides = {site.decoder: site.size((64, 64)) for site in places if site.decoder is not None}
    assert sides == {i: (2 ** (i // 3 + 3),) * 2 for i in range(3, 12)}
    assert sum(site.size((64, 64)) == (16, 16) and site.cross for site in places) == 5  # P2P's


def test_a_unet_without_text_has_no_cross_attention():
    config = UNetConfig(
        channels=(8, 16), attention=(True, True), groups=4, heads=2, transformer=False, context=None
    )
    assert sites(UNet(config)) and not any(site.cross for site in sites(UNet(config)))
