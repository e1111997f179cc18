"""Tests of ADM's UNet: published shapes, an independent implementation, bottleneck, precision."""

from dataclasses import replace

import pytest
import torch

from latentgeo.models.adm_layers import ADMConfig, AttentionBlock, ResidualBlock, Step
from latentgeo.models.adm_unet import ADMUNet
from latentgeo.models.bundles.presets_images import ADM_PRESETS
from tests.models.test_ddpm_unet import check_derivatives, difference
from tests.models.test_unet import manifest

State = dict[str, torch.Tensor]
ADM = ADMConfig(  # all that ADM has
    base=8,
    channels=(8, 12, 24),
    attention=(False, True, True),
    blocks=2,
    head_width=4,
    groups=4,
    classes=5,
    learned_variance=True,
)
IMPROVED = replace(  # all that it does not
    ADM,
    scale_shift=False,
    residual_resampling=False,
    learned_variance=False,
    classes=None,
    head_width=None,
    heads=2,
)


def small(config: ADMConfig = ADM, dtype: torch.dtype = torch.float64) -> ADMUNet:
    torch.manual_seed(0)
    return ADMUNet(config).to(dtype).eval()


def inputs(
    config: ADMConfig = ADM, dtype: torch.dtype = torch.float64, size: tuple[int, int] = (12, 20)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, config.in_channels, *size, generator=generator, dtype=dtype)
    labels = None if config.classes is None else torch.tensor([4, 0, 1])
    return x, torch.tensor([0, 313, 999]), labels


def moved(state: State, old: str, new: str) -> State:
    """Return the tensors below one name under another."""
    return {f"{new}{k.removeprefix(old)}": v for k, v in state.items() if k.startswith(f"{old}.")}


def residual(state: State, old: str, new: str) -> State:
    """Return a residual block in diffusers' form."""
    parts = {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    }
    found: State = {}
    for ours, theirs in parts.items():
        found |= moved(state, f"{old}.{ours}", f"{new}.{theirs}")
    return found


def attention(state: State, old: str, new: str, layer: AttentionBlock) -> State:
    """Return an attention block in diffusers' form, which has q, k and v apart."""
    found = moved(state, f"{old}.norm", f"{new}.group_norm")
    for kind in ("weight", "bias"):
        packed = state[f"{old}.qkv.{kind}"]
        shape = (layer.heads, 3, -1) if layer.order == "legacy" else (3, layer.heads, -1)
        apart = packed.unflatten(0, shape).movedim(1 if layer.order == "legacy" else 0, 0)
        for name, part in zip("qkv", apart.flatten(1, 2), strict=True):
            found[f"{new}.to_{name}.{kind}"] = part.flatten(1) if kind == "weight" else part
        out = state[f"{old}.proj_out.{kind}"]
        found[f"{new}.to_out.0.{kind}"] = out.flatten(1) if kind == "weight" else out
    return found


def step(state: State, old: str, layers: Step, stage: str, place: int, sampler: str) -> State:
    """Return one step of the way down or up in diffusers' form, at `place` of its stage."""
    found: State = {}
    for j, layer in enumerate(layers):
        name = f"{old}.{j}"
        if isinstance(layer, AttentionBlock):
            found |= attention(state, name, f"{stage}.attentions.{place}", layer)
        elif isinstance(layer, ResidualBlock) and layer.way is None:
            found |= residual(state, name, f"{stage}.resnets.{place}")
        elif isinstance(layer, ResidualBlock):
            found |= residual(state, name, f"{stage}.{sampler}.0")
        else:
            found |= moved(state, f"{name}.op", f"{stage}.{sampler}.0.conv")
            found |= moved(state, f"{name}.conv", f"{stage}.{sampler}.0.conv")
    return found


def renamed(unet: ADMUNet) -> State:
    """Return the state of the same network in diffusers' form."""
    state, blocks = unet.state_dict(), unet.config.blocks
    found = moved(state, "time_embed.0", "time_embedding.linear_1")
    found |= moved(state, "time_embed.2", "time_embedding.linear_2")
    found |= moved(state, "label_emb", "class_embedding")
    found |= moved(state, "input_blocks.0.0", "conv_in")
    for i, layers in enumerate(unet.input_blocks[1:]):
        stage = f"down_blocks.{i // (blocks + 1)}"
        place = i % (blocks + 1)
        found |= step(state, f"input_blocks.{i + 1}", layers, stage, place, "downsamplers")
    for i, name in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        old, new = f"middle_block.{i}", f"mid_block.{name}"
        layer = unet.middle_block[i]
        if isinstance(layer, AttentionBlock):
            found |= attention(state, old, new, layer)
        else:
            found |= residual(state, old, new)
    for i, layers in enumerate(unet.output_blocks):
        stage, place = f"up_blocks.{i // (blocks + 1)}", i % (blocks + 1)
        found |= step(state, f"output_blocks.{i}", layers, stage, place, "upsamplers")
    found |= moved(state, "out.0", "conv_norm_out")
    return found | moved(state, "out.2", "conv_out")


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("p2-256", "adm_ffhq256_p2"),
        ("imagenet256-unconditional", "adm_imagenet256_uncond"),
    ],
)
def test_has_the_published_parameters(preset, name):
    """Names and shapes of the published checkpoints, tensor for tensor."""
    with torch.device("meta"):
        unet = ADMUNet(ADM_PRESETS[preset])
    assert {key: tuple(value.shape) for key, value in unet.state_dict().items()} == manifest(name)


@pytest.mark.parametrize("order", ["legacy", "new"])
@pytest.mark.parametrize("config", [ADM, IMPROVED], ids=["adm", "improved"])
def test_equals_an_independent_implementation(config, order):
    """ADM Sec. 3.1: same weights, same output as diffusers' UNet2DModel of consistency models."""
    diffusers = pytest.importorskip("diffusers")
    config = replace(config, order=order)
    ours = small(config, torch.float32)
    kind = "resnet" if config.residual_resampling else "conv"
    theirs = diffusers.UNet2DModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.channels,
        down_block_types=(
            "ResnetDownsampleBlock2D" if config.residual_resampling else "DownBlock2D",
            *["AttnDownBlock2D"] * 2,
        ),
        up_block_types=(
            *["AttnUpBlock2D"] * 2,
            "ResnetUpsampleBlock2D" if config.residual_resampling else "UpBlock2D",
        ),
        downsample_type=kind,
        upsample_type=kind,
        layers_per_block=config.blocks,
        attention_head_dim=config.head_width,
        norm_num_groups=config.groups,
        attn_norm_num_groups=config.groups,
        norm_eps=1e-5,
        resnet_time_scale_shift="scale_shift" if config.scale_shift else "default",
        num_class_embeds=config.classes,
    )
    for module in theirs.modules():  # its blocks take a width of heads, and no number
        if config.head_width is None and type(module).__name__ == "Attention":
            module.heads = config.heads
    theirs.load_state_dict(renamed(ours))
    x, t, labels = inputs(config, torch.float32)
    with torch.no_grad():
        wanted = theirs.eval()(x, t, class_labels=labels).sample
        assert difference(ours(x, t, labels), wanted) < 1e-5


@pytest.mark.parametrize("config", [ADM, IMPROVED], ids=["adm", "improved"])
def test_forward_is_decode_of_encode(config):
    """The bottleneck can be taken out and put back without a change."""
    unet, (x, t, labels) = small(config), inputs(config)
    h, skips = unet.encode(x, t, labels)
    assert h.shape == (3, 24, 3, 5)
    torch.testing.assert_close(unet.decode(h, skips, t, labels), unet(x, t, labels))
    assert not torch.allclose(unet.decode(h + 1, skips, t, labels), unet(x, t, labels))
    assert unet(x, t, labels).shape[1] == config.out_channels


@pytest.mark.parametrize("scale_shift", [True, False])
def test_second_derivatives(scale_shift):
    """Forward and reverse mode of the encoder, to the second order, by finite differences."""
    config = replace(ADM_PRESETS["tiny"], scale_shift=scale_shift, residual_resampling=scale_shift)
    unet, (x, t, _) = small(config), inputs(config, size=(4, 6))
    check_derivatives(lambda z: unet.encode(z, t[:1])[0], x[:1])


def test_class_is_another_time_embedding():
    """A class adds its row to the embedded time; equal rows are equal classes."""
    unet, (x, t, _) = small(), inputs()
    with torch.no_grad():
        unet.label_emb.weight[3] = unet.label_emb.weight[1]
    three, one, two = (unet(x, t, torch.full((3,), label)) for label in (3, 1, 2))
    torch.testing.assert_close(three, one, rtol=0, atol=0)
    assert not torch.allclose(two, one)


def test_time_can_be_scaled():
    """A model of 4,000 steps embeds τ / 4, as one of 1,000 does at its own τ."""
    scaled = small(replace(IMPROVED, time_scale=0.25))
    x, t, _ = inputs(IMPROVED)
    torch.testing.assert_close(scaled(x, 4 * t), small(IMPROVED)(x, t))
    assert torch.isfinite(scaled(x, t)).all()


def test_torso_in_sixteen_bits():
    """Convolutions in float16, all else in float32: the published layout, near the exact one."""
    ours = small(dtype=torch.float32)
    x, t, labels = inputs(dtype=torch.float32)
    with torch.no_grad():
        exact = ours(x, t, labels)
        got = ours.torso_to(torch.float16)(x, t, labels)
    dtypes = {
        name: parameter.dtype
        for name, parameter in ours.named_parameters()
        if parameter.dtype != torch.float32
    }
    assert set(dtypes.values()) == {torch.float16}
    kinds = ("in_layers.2", "out_layers.3", "skip_connection", "qkv", "proj_out", "blocks.0.0")
    assert all(any(kind in name for kind in kinds) for name in dtypes)
    assert (
        len(dtypes)
        == 2 * sum(isinstance(m, torch.nn.Conv2d | torch.nn.Conv1d) for m in ours.modules()) - 2
    )  # all but the last one
    assert got.dtype == torch.float32
    assert 0 < difference(got, exact) < 5e-3  # float16 has 11 bits


def test_refuses_what_does_not_fit():
    """Errors name what was got and what was wanted."""
    x, t, labels = inputs()
    with pytest.raises(ValueError, match=r"labels: got none, wanted \(B,\) of 5"):
        small()(x, t)
    with pytest.raises(ValueError, match=r"labels: got \(3,\), wanted none"):
        small(IMPROVED)(x, t, labels)
    with pytest.raises(ValueError, match="multiples of 4, got 12 × 18"):
        small()(x[..., :18], t, labels)
