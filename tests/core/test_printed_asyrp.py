"""Asyrp as printed, each formula beside ours."""

import pytest
import torch

from latentgeo.core import asyrp, ddim
from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import q_sample
from latentgeo.eval.audit.errors import differs

SCHEDULE = schedules.linear(1000)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_printed_loss():
    """Asyrp Eq. 7: |P_edit - P_source| as a sum over an image's values, where ours is their
    mean.
    """
    edit, source = drawn(2, 3, 5, 7)
    ours = asyrp.training_loss(torch.zeros(3).double(), edit, source, 0.0, 1.0)
    printed = (edit - source).abs().flatten(1).sum(1)
    assert differs(printed, ours) == pytest.approx(5 * 7 - 1)


@pytest.mark.parametrize(
    ("t", "t_prev", "size"), [(1000, 999, 0.01), (1, 0, 1.0), (1000, 975, 0.22)]
)
def test_printed_theorem(t, t_prev, size):
    """Asyrp Thm. 1, Asyrp Err. 1: 0, as printed, beside the shift through P_t alone."""
    like, t, t_prev = drawn(1, 1), torch.tensor([t]), torch.tensor([t_prev])
    both = asyrp.symmetric_shift(SCHEDULE, like, t, t_prev)
    alone = asyrp.shift(SCHEDULE, like, t, t_prev).in_P
    bar, low = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t_prev]
    wanted = 1 - (1 - (1 - bar / low) / (1 - bar)).sqrt()
    torch.testing.assert_close((both / alone).flatten(), wanted, rtol=1e-9, atol=0)
    assert abs(wanted.item() - size) < 5e-3
    assert differs(torch.zeros_like(both), both) == 1


def test_printed_inversion():
    """Asyrp Alg. 1, Asyrp Alg. 2: x_{s+1} = √α_s x_s + √(1-α_s) ε beside DDIM's inversion."""
    x_0, eps = drawn(2, 3, 7)
    now, up = torch.full((3,), 401), torch.full((3,), 426)
    x, bar = q_sample(SCHEDULE, x_0, now, eps), SCHEDULE.alpha_bar[401]
    ours = ddim.invert_step(SCHEDULE, x, eps, now, up)
    assert differs(bar.sqrt() * x + (1 - bar).sqrt() * eps, ours) > 0.1


def test_printed_interval():
    """Asyrp Sec. 4.1: the shortest interval [T, t] whose P_t is near enough, from T downwards."""
    times, distances = [100, 200, 300, 400, 500], [0.1, 0.2, 0.3, 0.4, 0.5]
    printed = max(t for t, d in zip(times, distances, strict=True) if d <= 0.33)
    ours = asyrp.t_edit(times, distances, 0.33)
    assert (printed, ours) == (300, 400)  # neighbours on the grid
    assert differs(float(printed), float(ours)) == 0.25
