"""Features of the decoder, changed in passing and then no more; and read, in one pass."""

import pytest
import torch

from latentgeo.models.bundles.presets import UNET_PRESETS
from latentgeo.models.decoder_features import (
    decoder_blocks,
    features_changed,
    predict_with_features,
    second_last_stage,
)
from latentgeo.models.lora import adapter as lora
from latentgeo.models.unet import UNet, UNetConfig


@pytest.fixture
def unet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet(UNET_PRESETS["tiny"]).eval().requires_grad_(False)


def inputs():
    draw = torch.Generator().manual_seed(0)
    x, context = torch.randn(3, 4, 7, 5, generator=draw), torch.randn(3, 11, 16, generator=draw)
    return x, torch.tensor([3, 400, 999]), context


def test_blocks_are_counted_from_the_coarsest():
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    blocks = decoder_blocks(unet)
    assert len(blocks) == 12 and blocks[4] is unet.up_blocks[1].resnets[1]  # Plug-and-Play's


def test_a_change_is_of_one_block_and_for_a_while(unet):
    plain = unet(*inputs())
    block = decoder_blocks(unet)[1]
    seen = []
    with features_changed(block, lambda f: seen.append(f) or f):
        assert torch.equal(unet(*inputs()), plain)
    with features_changed(block, lambda f: f.flip(0)):
        assert (unet(*inputs()) - plain).abs().max() > 1e-3
    assert torch.equal(unet(*inputs()), plain)
    assert [f.shape for f in seen] == [(3, 16, 4, 3)]


def test_what_changes_is_what_the_block_adds(unet):
    """Zero features leave the block's input on its shortcut."""
    block = decoder_blocks(unet)[0]
    x, temb = torch.randn(2, 32, 5, 7), torch.randn(2, 32)
    with features_changed(block, torch.zeros_like):
        torch.testing.assert_close(block(x, temb), block.conv_shortcut(x))


def test_an_adapters_update_is_part_of_the_features(unet):
    lora.attach(unet, rank=2, targets="*.conv2")
    for parameter in lora.lora_parameters(unet):
        torch.nn.init.constant_(parameter, 0.1)
    block = decoder_blocks(unet)[0]
    seen = []
    with features_changed(block, lambda f: seen.append(f) or f):
        unet(*inputs())
        lora.set_scale(unet, lora.DEFAULT, 0.0)
        unet(*inputs())
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_features_are_what_an_independent_pass_computes(unet, stage):
    """Stage 0 is the middle block's output, i that of the i-th part of the way up."""
    x, t, context = inputs()
    found, features = predict_with_features(unet, x, t, context, stage)
    h, skips = unet.encode(x, t, context)
    temb, skips = unet.embed(t, h), list(skips)
    for part in unet.up_blocks[:stage]:
        h = part(h, skips, temb, context)
    assert torch.equal(features, h)
    assert torch.equal(found, unet(x, t, context))


def test_the_published_stage_of_stable_diffusion_has_the_latents_resolution():
    """640 channels at 64 × 64 for an image of 512 × 512 (third of four)."""
    with torch.device("meta"):
        full = UNet(UNetConfig())
        x, context = torch.empty(1, 4, 64, 64), torch.empty(1, 77, 768)
        stage = second_last_stage(full)
        _, features = predict_with_features(full, x, torch.empty(1), context, stage)
    assert stage == 3 and features.shape == (1, 640, 64, 64)


@pytest.mark.parametrize("stage", [-1, 3])
def test_a_stage_that_is_not_there_is_refused(unet, stage):
    with pytest.raises(ValueError, match=rf"got {stage}, wanted 0\.\.2"):
        predict_with_features(unet, *inputs(), stage)
