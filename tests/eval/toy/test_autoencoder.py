"""The toy: even points, exact traces by three axes, and a training that does what it says."""

from pathlib import Path

import pytest
import torch

from latentgeo.core.isometry import exact_traces
from latentgeo.eval.audit.errors import deviates
from latentgeo.eval.toy.autoencoder import (
    EVERY,
    error,
    exact_loss,
    held_out_points,
    layers,
    penalty,
    points_of,
    trained,
)
from latentgeo.eval.toy.settings import ToyIsometry

COMMAND = ToyIsometry(out=Path("unused"), steps=60, batch=31, width=13, iso_weight=1.0)


@pytest.mark.parametrize("gap", [0.0, 60.0, 130.0])
def test_points_are_even_over_what_is_left_of_the_sphere(gap):
    """Area is even in z, and so are its moments; below any z is its share of all."""
    x = points_of(20_000, gap, torch.Generator().manual_seed(1)).double()
    top = torch.deg2rad(torch.tensor(gap)).cos().item()
    torch.testing.assert_close(x.norm(dim=1), torch.ones(20_000).double(), rtol=1e-5, atol=0)
    assert x[:, 2].max() <= top + 1e-6
    assert x[:, 2].mean().item() == pytest.approx((top - 1) / 2, abs=0.01)
    assert x[:, 2].var().item() == pytest.approx((top + 1) ** 2 / 12, rel=0.03)
    assert x[:, :2].mean(0).abs().max() < 0.015


@pytest.mark.parametrize("kind", ["sphere", "plane"])
def test_three_axes_are_exact(kind):
    """Iso Eq. 6, Iso Eq. 8: the penalty is the ratio of the formed traces, with either G."""
    torch.manual_seed(0)
    encode, x = layers(3, 2, 7).double(), held_out_points(COMMAND, 11)
    found = penalty(encode, x, kind, torch.Generator())
    first, second = exact_traces(encode, x, kind)
    torch.testing.assert_close(found, second.mean() / first.mean() ** 2)
    if kind == "sphere":
        assert found.item() == pytest.approx(exact_loss(encode, x))


def test_one_probe_is_right_on_average():
    """Iso Eq. 6, Iso Eq. 8: one probe agrees on average, over many points that are the same."""
    torch.manual_seed(0)
    encode = layers(3, 2, 7)
    x = held_out_points(COMMAND, 1).float().expand(20_000, 3)
    draw, same = (torch.Generator().manual_seed(1) for _ in range(2))
    ratio = penalty(encode, x, "estimated", draw) / penalty(encode, x[:1], "sphere", draw)
    some, exact = torch.Generator().manual_seed(2), penalty(encode, x[:1], "sphere", draw)
    parts = [penalty(encode, x[:1000], "estimated", some) / exact for _ in range(20)]
    assert deviates(ratio, 1, torch.stack(parts).std() / 20**0.5, 20_000) < 4
    torch.randn(1, *x.shape, generator=same)
    assert torch.equal(draw.get_state(), same.get_state())  # one


def test_training_lowers_what_it_says_and_repeats_itself():
    """Iso Sec. 3, Iso Eq. 6: L_iso ends lower with the term than without; seeds decide it all."""
    without, first, again, other = (
        trained(COMMAND, kind, repeat)
        for kind, repeat in (("reconstruction", 0), ("sphere", 0), ("sphere", 0), ("sphere", 1))
    )
    assert [step for step, _ in first.curve] == [0, EVERY, 2 * EVERY, 60]
    assert first.curve[0] == without.curve[0] != other.curve[0]  # the same weights before training
    assert first.curve == again.curve
    assert first.curve[-1][1] < 0.9 * without.curve[-1][1]
    x = held_out_points(COMMAND, 256)
    assert exact_loss(first.encode, x) == pytest.approx(first.curve[-1][1], rel=1e-4)
    found = error(without.encode, without.decode, x)
    assert found < 0.5 * x.var(0).sum()
    each = [(without.decode(without.encode(one)) - one).norm() ** 2 for one in x]
    torch.testing.assert_close(found, torch.stack(each).mean())
