"""Tests of DDPM's UNet: published shapes, an independent network, bottleneck, derivatives."""

import re
from collections.abc import Callable

import pytest
import torch

from latentgeo.core import dual
from latentgeo.models.bundles.presets_images import DDPM_PRESETS
from latentgeo.models.ddpm_unet import DDPMConfig, DDPMUNet, position_embedding
from tests.models.test_unet import manifest

SMALL = DDPMConfig(channels=(8, 12, 20), attention=(False, True, False), blocks=2, groups=4)


def small(config: DDPMConfig = SMALL, dtype: torch.dtype = torch.float64) -> DDPMUNet:
    torch.manual_seed(0)
    return DDPMUNet(config).to(dtype).eval()


def inputs(
    dtype: torch.dtype = torch.float64, size: tuple[int, int] = (12, 20)
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 3, *size, generator=generator, dtype=dtype), torch.tensor([0, 313, 999])


def difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the relative difference in norm."""
    return float((actual - expected).norm() / expected.norm())


def published(name: str, levels: int) -> str:
    """Return diffusers' name of one of our tensors, as `ddpm_unet.py` states the rule."""
    name = re.sub(r"^up\.(\d+)", lambda m: f"up_blocks.{levels - 1 - int(m[1])}", name)
    name = re.sub(r"^down\.", "down_blocks.", name)
    for ours, theirs in {
        r"^temb\.dense\.0": "time_embedding.linear_1",
        r"^temb\.dense\.1": "time_embedding.linear_2",
        r"\.block\.": ".resnets.",
        r"^mid\.block_1": "mid_block.resnets.0",
        r"^mid\.block_2": "mid_block.resnets.1",
        r"^mid\.attn_1": "mid_block.attentions.0",
        r"\.temb_proj": ".time_emb_proj",
        r"nin_shortcut": "conv_shortcut",
        r"\.attn\.": ".attentions.",
        r"(attentions\.\d+)\.norm\.": r"\1.group_norm.",
        r"(attentions\.\d+)\.([qkv])\.": r"\1.to_\2.",
        r"(attentions\.\d+)\.proj_out": r"\1.to_out.0",
        r"\.downsample\.": ".downsamplers.0.",
        r"\.upsample\.": ".upsamplers.0.",
        r"^norm_out": "conv_norm_out",
    }.items():
        name = re.sub(ours, theirs, name)
    return name


def renamed(unet: DDPMUNet) -> dict[str, torch.Tensor]:
    """Return the state of the same network in diffusers' form."""
    levels = len(unet.config.channels)
    state = {published(name, levels): tensor for name, tensor in unet.state_dict().items()}
    return {
        name: tensor.flatten(1) if ".attentions." in name and tensor.ndim > 1 else tensor
        for name, tensor in state.items()
    }


def check_derivatives(f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> None:
    """Hold first and second derivatives of f at x to finite differences, and the routes equal."""
    x = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(f, x, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(f, x, check_fwd_over_rev=True, fast_mode=True)
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(7), dtype=x.dtype)
    _, expected = torch.func.jvp(f, (x.detach(),), (tangent,))
    torch.testing.assert_close(dual.jvp(f, x.detach(), tangent)[1], expected)


def test_has_the_published_parameters():
    """DDPM Sec. 4c: names and shapes of the CelebA-HQ checkpoint, tensor for tensor."""
    with torch.device("meta"):
        unet = DDPMUNet(DDPMConfig())
    assert sum(p.numel() for p in unet.parameters()) == 113_673_219
    state = {key: tuple(value.shape) for key, value in unet.state_dict().items()}
    assert state == manifest("ddpm_celebahq256_original")


def test_names_correspond_to_the_other_published_form():
    """The rule in the module's docstring makes diffusers' manifest, each tensor once."""
    with torch.device("meta"):
        unet = DDPMUNet(DDPMConfig())
    state = {key: tuple(value.shape) for key, value in renamed(unet).items()}
    assert len(state) == len(unet.state_dict())
    assert state == manifest("ddpm_celebahq256_diffusers")


def test_equals_an_independent_implementation():
    """DDPM Sec. 4c: same weights, same output as diffusers' UNet2DModel of google/ddpm-*."""
    diffusers = pytest.importorskip("diffusers")
    ours = small(dtype=torch.float32)
    theirs = diffusers.UNet2DModel(
        block_out_channels=SMALL.channels,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=SMALL.blocks,
        attention_head_dim=None,
        norm_num_groups=SMALL.groups,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    theirs.load_state_dict(renamed(ours))
    x, t = inputs(torch.float32)
    with torch.no_grad():
        assert difference(ours(x, t), theirs.eval()(x, t).sample) < 1e-5


def test_position_embedding_is_a_rotation():
    """DDPM Sec. 4b: wavelengths from 2π to 2π · 10,000, and a step in t turns each pair alike."""
    e = position_embedding(torch.tensor([0, 1, 5, 6]), 14).double()
    pairs = torch.complex(e[:, 7:], e[:, :7])  # cosine + i sine
    torch.testing.assert_close(pairs.abs(), torch.ones_like(e[:, :7]), rtol=1e-6, atol=0)
    torch.testing.assert_close(pairs[1] / pairs[0], pairs[3] / pairs[2], rtol=1e-5, atol=1e-6)
    turn = pairs[1].angle()
    assert float(turn[0]) == pytest.approx(1, rel=1e-6)
    assert float(turn[-1]) == pytest.approx(1e-4, rel=1e-4)
    ratios = turn[1:] / turn[:-1]
    torch.testing.assert_close(ratios, ratios[0].expand(6), rtol=1e-3, atol=0)


def test_forward_is_decode_of_encode():
    """The bottleneck can be taken out and put back without a change."""
    unet = small()
    x, t = inputs()
    h, skips = unet.encode(x, t)
    assert h.shape == (3, 20, 3, 5)
    torch.testing.assert_close(unet.decode(h, skips, t), unet(x, t))
    assert not torch.allclose(unet.decode(h + 1, skips, t), unet(x, t))


def test_second_derivatives():
    """Forward and reverse mode of the encoder, to the second order, by finite differences."""
    unet = small(DDPM_PRESETS["tiny"])
    x, t = inputs(size=(4, 6))
    check_derivatives(lambda z: unet.encode(z, t[:1])[0], x[:1])


def test_patches_are_a_rearrangement():
    """DDPM Sec. 4c: with patch p it is that of p² times the channels, on rearranged pixels."""
    shape = {"channels": (8, 12), "attention": (False, True), "blocks": 1, "groups": 4}
    unet = small(DDPMConfig(in_channels=3, out_channels=3, patch=2, **shape))
    plain = DDPMUNet(DDPMConfig(in_channels=12, out_channels=12, **shape)).double().eval()
    plain.load_state_dict(unet.state_dict())
    x, t = inputs(size=(8, 12))
    cells = x.unflatten(3, (6, 2)).unflatten(2, (4, 2)).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    y = plain(cells, t).unflatten(1, (3, 2, 2)).permute(0, 1, 4, 2, 5, 3)
    torch.testing.assert_close(unet(x, t), y.flatten(4, 5).flatten(2, 3), rtol=0, atol=0)
    check_derivatives(lambda z: unet.encode(z, t[:1])[0], x[:1, :, :4, :4])
    with pytest.raises(ValueError, match="multiples of 4, got 8 × 10"):
        unet(x[..., :10], t)


def test_dropout_is_for_training():
    """In evaluation mode two calls are equal, in training mode they are not."""
    unet = small(DDPMConfig(channels=(8,), attention=(True,), blocks=1, groups=4, dropout=0.3))
    x, t = inputs(size=(4, 6))
    torch.testing.assert_close(unet(x, t), unet(x, t), rtol=0, atol=0)
    assert not torch.allclose(unet.train()(x, t), unet(x, t))


def test_refuses_shapes_that_cannot_be():
    """Errors name what was got and what was wanted."""
    with pytest.raises(ValueError, match="one entry per resolution, got 1 for 2"):
        DDPMConfig(channels=(32, 64), attention=(True,))
    with pytest.raises(ValueError, match=r"multiples of groups \(32\), got 48"):
        DDPMConfig(channels=(48,), attention=(True,))
    with pytest.raises(ValueError, match="multiples of 4, got 12 × 18"):
        small()(*inputs(size=(12, 18)))
