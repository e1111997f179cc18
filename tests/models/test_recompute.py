"""Blocks that keep their inputs alone: the same numbers to second order, in less memory."""

import pytest
import torch
from torch import Tensor, nn

from latentgeo.core.schedule import scaled_linear
from latentgeo.core.smooth import objective, regularizer, unit_direction
from latentgeo.core.variation_routes import ROUTES
from latentgeo.eval.bench.meter import Meter
from latentgeo.models.lora.adapter import attach
from latentgeo.models.recompute import recompute_blocks
from latentgeo.models.unet import UNet, UNetConfig

SHAPE = UNetConfig(channels=(8, 8), attention=(True, False), blocks=1, heads=2, context=5, groups=2)


def network(dtype: torch.dtype = torch.float64, rank: int | None = 2) -> UNet:
    """A UNet with an adapter that is not zero, or one whose every weight is trained."""
    torch.manual_seed(0)
    unet = UNet(SHAPE).to(dtype)
    if rank is not None:
        attach(unet, rank)
        for name, weight in unet.named_parameters():
            if ".lora." in name:
                nn.init.normal_(weight, 0, 0.2)
    return unet


def loss_of(unet: nn.Module, route: str, dtype: torch.dtype = torch.float64) -> Tensor:
    """The whole objective, of three samples."""
    generator = torch.Generator().manual_seed(1)
    x_0, eps, direction = torch.randn(3, 3, 4, 8, 8, generator=generator, dtype=dtype)
    t, context = torch.tensor([3, 400, 990]), torch.randn(3, 7, 5, generator=generator, dtype=dtype)
    direction = unit_direction(direction, generator)
    schedule, predict = scaled_linear(), lambda x, t: unet(x, t - 1, context)
    raw, v = ROUTES[route](predict, schedule, x_0, eps, t, direction)
    return objective((raw - eps).square().mean(), regularizer(v, torch.tensor(0.3)), 0.7)


def gradients(unet: nn.Module, route: str) -> dict[str, Tensor]:
    loss_of(unet, route).backward()
    return {n: w.grad for n, w in unet.named_parameters() if w.grad is not None}


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    largest = max(float(grad.abs().max()) for grad in one.values())
    for name, grad in one.items():
        torch.testing.assert_close(
            other[name], grad, rtol=tolerance, atol=tolerance * largest, msg=name
        )


@pytest.mark.parametrize(
    ("route", "tolerance"),  # a difference of two passes divides their rounding by its step
    [("double-backward", 1e-10), ("reverse-over-forward", 1e-10), ("central-difference", 1e-8)],
)
def test_gradients_are_those_of_what_is_kept(route: str, tolerance: float) -> None:
    """Smooth Eq. 10: of L_base + λ L_reg in the adapter, by every route."""
    wanted, unet = gradients(network(), route), network()
    names = list(unet.state_dict())
    assert recompute_blocks(unet) == 12  # 8 residual blocks and 4 transformer blocks
    assert list(unet.state_dict()) == names
    assert_close(wanted, gradients(unet, route), tolerance)


def test_every_weight_can_be_trained() -> None:
    wanted, unet = gradients(network(rank=None), "double-backward"), network(rank=None)
    recompute_blocks(unet)
    assert_close(wanted, gradients(unet, "double-backward"), 1e-10)


def test_autocast_is_that_of_the_call() -> None:
    """Backward passes run outside of the context; what they compute again is cast all the same."""

    def cast_gradients(unet: UNet) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(unet, "double-backward", torch.float32)
        loss.backward()
        return {n: w.grad for n, w in unet.named_parameters() if w.grad is not None}

    wanted, unet = cast_gradients(network(torch.float32)), network(torch.float32)
    recompute_blocks(unet)
    assert_close(wanted, cast_gradients(unet), 0.02)  # bfloat16 sums in another order


def peak(unet: nn.Module) -> int:
    with Meter() as meter:
        loss_of(unet, "double-backward", torch.float32).backward()
    return meter.peak


def test_the_peak_of_a_step_falls() -> None:
    """Where the pass itself is differentiated, in which PyTorch's checkpointing keeps it all."""
    kept, recomputed = network(torch.float32), network(torch.float32)
    recompute_blocks(recomputed)
    assert peak(recomputed) < 0.75 * peak(kept)


def test_a_third_derivative_raises() -> None:
    unet = network()
    recompute_blocks(unet)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    y = unet(x, torch.tensor([5]), torch.randn(1, 3, 5, dtype=torch.float64)).square().sum()
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="none beyond"):
        torch.autograd.grad(first.square().sum(), x, create_graph=True)


def test_without_a_graph_a_block_runs_once_as_it_is() -> None:
    unet, plain = network(), network()
    recompute_blocks(unet)
    x, t, context = (
        torch.randn(1, 4, 8, 8).double(),
        torch.tensor([5]),
        torch.randn(1, 3, 5).double(),
    )
    with torch.no_grad():
        assert torch.equal(unet(x, t, context), plain(x, t, context))


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no block to recompute: none of ResnetBlock"):
        recompute_blocks(nn.Linear(2, 2))
