"""Tests of ADM's blocks: conditioning of the norms, resampling, the two orders of attention."""

import pytest
import torch
import torch.nn.functional as F

from latentgeo.models.adm_layers import ADMConfig, AttentionBlock, Resampling, ResidualBlock

SMALL = ADMConfig(
    base=7, channels=(8, 16), attention=(False, True), blocks=1, heads=2, head_width=None, groups=4
)


def block(config: ADMConfig = SMALL, way: Resampling | None = None, out: int = 8) -> ResidualBlock:
    torch.manual_seed(0)
    return ResidualBlock(8, out, config, way).double()


def inputs(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 8, 6, 10, generator=generator, dtype=torch.float64)
    return x, torch.randn(3, 28, generator=generator, dtype=torch.float64)


def plain(layer: ResidualBlock, x: torch.Tensor) -> torch.Tensor:
    """Return the block's output without a condition, from PyTorch's own norms."""
    h = x
    for part in layer.in_layers, layer.out_layers:
        norm, conv = part[0], part[-1]
        h = conv(F.silu(F.group_norm(h, 4, norm.weight, norm.bias)))
    return layer.skip_connection(x) + h


@pytest.mark.parametrize("scale_shift", [True, False])
def test_no_condition_leaves_the_norm(scale_shift):
    """ADM Sec. 3.1: where the projection of temb is zero, the block is a plain residual one."""
    config = ADMConfig(
        base=7, channels=(8,), attention=(False,), head_width=8, groups=4, scale_shift=scale_shift
    )
    layer, (x, temb) = block(config, out=12), inputs()
    torch.nn.init.zeros_(layer.emb_layers[1].weight)
    torch.nn.init.zeros_(layer.emb_layers[1].bias)
    torch.testing.assert_close(layer(x, temb), plain(layer, x))


def test_condition_is_the_norms_affine_part():
    """ADM Sec. 3.1: one sample's y_s and y_b are γ y_s and β y_s + y_b of a norm without them."""
    layer, (x, temb) = block(), inputs()
    wanted = layer(x, temb)
    scale, shift = layer.emb_layers(temb).chunk(2, dim=1)
    norm = layer.out_layers[0]
    for i in range(3):
        changed = block()
        with torch.no_grad():
            changed.emb_layers[1].weight.zero_()
            changed.emb_layers[1].bias.zero_()
            changed.out_layers[0].weight.copy_(norm.weight * (1 + scale[i]))
            changed.out_layers[0].bias.copy_(norm.bias * (1 + scale[i]) + shift[i])
        torch.testing.assert_close(changed(x, temb)[i], wanted[i])


def test_added_condition_moves_the_features_before_the_norm():
    """Without scale and shift, temb's projection is a bias of the first convolution."""
    config = ADMConfig(
        base=7, channels=(8,), attention=(False,), head_width=8, groups=4, scale_shift=False
    )
    layer, (x, temb) = block(config), inputs()
    wanted = layer(x, temb)
    changed = block(config)
    with torch.no_grad():
        changed.in_layers[2].bias += layer.emb_layers(temb)[1]
        changed.emb_layers[1].weight.zero_()
        changed.emb_layers[1].bias.zero_()
    torch.testing.assert_close(changed(x, temb)[1], wanted[1])


def test_resampling_is_nearest_neighbour_and_a_mean():
    """What goes beside the convolutions is repeated 2 × 2 times, or the mean of 2 × 2."""
    x, temb = inputs()
    for way, resampled in (
        ("up", x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)),
        ("down", x.unflatten(3, (5, 2)).unflatten(2, (3, 2)).mean(dim=(3, 5))),
    ):
        layer = block(way=way)
        torch.nn.init.zeros_(layer.out_layers[3].weight)
        torch.nn.init.zeros_(layer.out_layers[3].bias)
        torch.testing.assert_close(layer(x, temb), resampled)


@pytest.mark.parametrize("order", ["legacy", "new"])
def test_attention_head_by_head(order):
    """The order of qkv's channels, written out: (head, q k v, d) or (q k v, head, d)."""
    torch.manual_seed(0)
    config = ADMConfig(channels=(8,), attention=(True,), heads=2, head_width=None, groups=4)
    config = ADMConfig(**{**vars(config), "order": order})
    layer = AttentionBlock(8, config).double()
    x, _ = inputs()
    rows = layer.qkv(F.group_norm(x, 4, layer.norm.weight, layer.norm.bias).flatten(2))
    heads = []
    for head in range(2):
        if order == "legacy":
            q, k, v = rows[:, 12 * head : 12 * head + 12].split(4, dim=1)
        else:
            q, k, v = (rows[:, 8 * i + 4 * head : 8 * i + 4 * head + 4] for i in range(3))
        weights = torch.softmax(torch.einsum("bcn,bcm->bnm", q, k) / 2, dim=-1)
        heads.append(torch.einsum("bnm,bcm->bcn", weights, v))
    wanted = x + layer.proj_out(torch.cat(heads, dim=1)).reshape(x.shape)
    torch.testing.assert_close(layer(x), wanted)


def test_head_width_decides_the_number_of_heads():
    """64 channels per head of 1,024 are 16 heads; a fixed number of heads is that number."""
    wide = ADMConfig(channels=(1024,), attention=(True,))
    with torch.device("meta"):
        assert AttentionBlock(1024, wide).heads == 16
        assert AttentionBlock(8, SMALL).heads == 2


def test_refuses_shapes_that_cannot_be():
    """Errors name what was got and what was wanted."""
    with pytest.raises(ValueError, match="one entry per resolution, got 1 for 2"):
        ADMConfig(channels=(64, 64), attention=(True,))
    with pytest.raises(ValueError, match=r"of groups \(32\) and of the heads .* \(64\), got 96"):
        ADMConfig(channels=(96,), attention=(True,))
    with pytest.raises(ValueError, match="'legacy' or 'new', got 'old'"):
        ADMConfig(order="old")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="classes is 0"):
        ADMConfig(classes=0)
