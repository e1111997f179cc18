"""Weights cast ahead: the numbers of autocast's own casts, bit for bit, in fewer launches."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch

from latentgeo.core.schedule import scaled_linear
from latentgeo.core.variation_routes import ROUTES
from latentgeo.eval.bench.meter import Meter
from latentgeo.models.held_casts import HeldCasts
from latentgeo.models.lora.adapter import attach, lora_parameters
from latentgeo.models.unet import UNet, UNetConfig

SHAPE = UNetConfig(
    channels=(8, 16), attention=(True, False), blocks=1, heads=2, context=6, groups=2
)
BF16 = torch.bfloat16


@pytest.fixture
def unet() -> UNet:
    torch.manual_seed(0)
    found = UNet(SHAPE).eval()
    attach(found, 3)
    for weight in lora_parameters(found):
        torch.nn.init.normal_(weight, std=0.3)
    return found


def predicted(unet, context, x, t):
    return unet(x, t, context)


def step(unet, schedule_of, casts=None, route="reverse-over-forward"):
    """Return the output, v and the gradients of a loss of both, under autocast."""
    x, eps, d = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1)).unbind()
    context, t = torch.ones(2, 5, 6), torch.tensor([70, 900])
    ahead = nullcontext() if casts is None else casts.of_a_pass()
    with torch.autocast("cpu", BF16), ahead:
        predict = partial(predicted, unet, context)
        raw, v = ROUTES[route](predict, schedule_of, x, eps, t, d, "eps")
    grads = torch.autograd.grad(raw.float().square().mean() + v.mean(), [*lora_parameters(unet)])
    return raw, v, *grads


@pytest.mark.parametrize("route", ROUTES)
def test_results_are_autocasts(unet, route):
    schedule, names = scaled_linear(), [name for name, _ in unet.named_parameters()]
    before = step(unet, schedule, route=route)
    with Meter() as plain:
        step(unet, schedule, route=route)
    casts = HeldCasts(unet, BF16)
    with Meter() as held:
        after = step(unet, schedule, casts, route)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
    saved = plain.calls["_to_copy"] - held.calls["_to_copy"]
    assert saved > 2 * len([*lora_parameters(unet)]) + 100
    assert [name for name, _ in unet.named_parameters()] == names


def test_a_frozen_weight_that_changes_is_cast_anew(unet):
    """And without autocast it is taken as it is."""
    x, context = torch.randn(1, 4, 8, 8), torch.ones(1, 5, 6)
    t = torch.tensor([3])
    HeldCasts(unet, BF16)
    with torch.no_grad():
        unet.conv_in.weight.mul_(2.0)
        exact = unet(x, t, context)
        with torch.autocast("cpu", BF16):
            rounded = unet(x, t, context)
    assert exact.dtype == torch.float32 and rounded.dtype == BF16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.05)
    fresh = UNet(SHAPE).eval()
    attach(fresh, 3)
    fresh.load_state_dict(unet.state_dict())
    with torch.no_grad(), torch.autocast("cpu", BF16):
        assert torch.equal(rounded, fresh(x, t, context))
