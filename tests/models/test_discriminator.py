"""The patch discriminator: the published layers, the patch a logit sees, the initial weights."""

import pytest
import torch
from torch import nn

from latentgeo.models.discriminator import PatchDiscriminator


def test_layers_are_the_published_ones():
    """Of width 64 with 3 strided layers: the parameters of pix2pix's 70 × 70 PatchGAN."""
    net = PatchDiscriminator()
    shapes = [tuple(layer.weight.shape) for layer in net.layers if isinstance(layer, nn.Conv2d)]
    assert shapes == [
        (64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4),
    ]  # fmt: skip
    # the published count, 2,768,705, is of six input channels
    assert sum(p.numel() for p in net.parameters()) == 2_768_705 - 3 * 64 * 4 * 4
    assert net(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 30, 30)


@pytest.mark.parametrize(("strided", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_one_patch(strided, patch):
    """The pixels with a gradient; batch norm, which sees all, is at its running statistics."""
    torch.manual_seed(0)
    net = PatchDiscriminator(width=4, strided=strided).double().eval()
    x = torch.rand(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    logits = net(x)
    (slope,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    rows = slope.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == patch


def test_initial_weights_are_the_published_ones():
    torch.manual_seed(0)
    net = PatchDiscriminator()
    for layer in net.layers:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01) and not layer.bias.any()
