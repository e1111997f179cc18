"""The whole UNet does not see the order of its context's tokens, only which key has which value.

One forward pass holds four samples that differ in the order of the tokens: as they are, all
permuted, the keys alone, the values alone. A hook behind `to_k` and `to_v` does the last two.
"""

import math

import pytest
import torch
from torch import nn

from latentgeo.models.bundles.presets import UNET_PRESETS
from latentgeo.models.transformer import TransformerBlock
from latentgeo.models.unet import UNet
from tests.models.drawn import Table

TOKENS = 13
PLAIN, BOTH, KEYS, VALUES = range(4)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}  # of outputs of order 1


def just_in_time(module, dtype):
    """Draw a leaf's weights before it runs and drop them after: Stable Diffusion in little memory.

    Norms keep the identity, so that features neither grow nor vanish.
    """
    table = Table(dtype)

    def draw(layer, _):
        for name, shape in layer.shapes.items():
            if "Norm" in type(layer).__name__:
                value = torch.full(shape, float(name == "weight"), dtype=dtype)
            else:
                value = table.draw(shape, math.prod(layer.shapes["weight"][1:]) ** -0.5)
            setattr(layer, name, nn.Parameter(value, requires_grad=False))

    def drop(layer, *_):
        for name, shape in layer.shapes.items():
            setattr(layer, name, nn.Parameter(torch.empty(shape, device="meta"), False))

    for layer in module.modules():
        own = dict(layer.named_parameters(recurse=False))
        if own:
            layer.shapes = {name: value.shape for name, value in own.items()}
            layer.register_forward_pre_hook(draw)
            layer.register_forward_hook(drop)
    return module


def permute_one_of_two(unet, order):
    """Permute the tokens of the third sample's keys and of the fourth's values."""

    def permuted(sample):
        def hook(layer, inputs, output):
            output = output.clone()
            output[sample] = output[sample, order]
            return output

        return hook

    for block in unet.modules():
        if isinstance(block, TransformerBlock):
            block.attn2.to_k.register_forward_hook(permuted(KEYS))
            block.attn2.to_v.register_forward_hook(permuted(VALUES))


@torch.inference_mode()
def differences(preset, dtype):
    """Return how far each permuted sample is from the plain one, in units of its largest value."""
    config = UNET_PRESETS[preset]
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        unet = UNet(config)
    unet = just_in_time(unet.eval(), dtype)
    order = torch.randperm(TOKENS, generator=generator)
    permute_one_of_two(unet, order)
    x = torch.randn(1, 4, 8, 8, generator=generator, dtype=dtype).repeat(4, 1, 1, 1)
    context = torch.randn(1, TOKENS, config.context, generator=generator, dtype=dtype)
    context = (3 * context).repeat(4, 1, 1)
    context[BOTH] = context[BOTH, order]
    out = unet(x, torch.full((4,), 311), context)
    assert out.isfinite().all() and out.dtype == dtype
    return (out - out[PLAIN]).abs().amax(dim=(1, 2, 3)) / out[PLAIN].abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("preset", ["tiny", pytest.param("sd15", marks=pytest.mark.slow)])
def test_context_rows_may_be_permuted_together_and_not_apart(preset, dtype):
    """OT Sec. 2.1: the joint permutation of K and V is no change, that of one of them is."""
    change = differences(preset, dtype)
    assert change[BOTH] < TOLERANCE[dtype]
    assert change[[KEYS, VALUES]].min() > 100 * TOLERANCE[torch.float32]
