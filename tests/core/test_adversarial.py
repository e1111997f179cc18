"""The discriminator's losses from their optimum, and the weight from what it makes equal."""

import pytest
import torch

from latentgeo.core.adversarial import (
    LARGEST,
    OFFSET,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
)
from tests.tensors import normal


def test_the_best_logit_is_the_sign_of_the_difference():
    """LDM Eq. 25: what real patches of density p and false ones of density q cost together, over a
    grid of logits, is least at sign(p - q), and there min(p, q).
    """
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    sure = torch.full((1,), 9.0, dtype=torch.float64)  # beyond the hinge: it costs nothing
    for p, q in ((0.7, 0.2), (0.1, 0.4), (0.9, 0.0)):
        cost = torch.stack(
            [
                p * discriminator_loss(logit, -sure) + q * discriminator_loss(sure, logit)
                for logit in grid
            ]
        )
        best = grid[cost.argmin()]
        assert best == pytest.approx(1.0 if p > q else -1.0)
        assert cost.min() == pytest.approx(min(p, q))


def test_both_players_want_the_opposite_of_a_false_patch():
    """LDM Eq. 25: within the hinge the slopes in a logit of a false patch are ½/n and -1/n."""
    fake = (0.5 * normal(3, 1, 5, 7).tanh()).requires_grad_()
    (up,) = torch.autograd.grad(discriminator_loss(normal(2, 1, 3, 3), fake), fake)
    (down,) = torch.autograd.grad(generator_loss(fake), fake)
    torch.testing.assert_close(up, torch.full_like(fake, 0.5 / fake.numel()))
    torch.testing.assert_close(down, torch.full_like(fake, -1 / fake.numel()))


def test_the_weight_makes_both_pulls_equal():
    """LDM Eq. 25, with VQGAN's weight: on the last layer, by finite differences of both losses."""
    last = normal(5, 7).requires_grad_()
    a, b = normal(7, seed=1), normal(7, seed=2)

    def losses(w):
        return (w @ a).square().mean(), 30 * (w @ b).tanh().mean()

    weight = adaptive_weight(*losses(last), last)
    assert not weight.requires_grad
    pulls = []
    for k in (0, 1):
        slopes = torch.empty_like(last)
        for i in range(last.numel()):
            step = torch.zeros(last.numel(), dtype=torch.float64)
            step[i] = 1e-6
            up, down = (losses(last.detach() + s * step.view_as(last))[k] for s in (1, -1))
            slopes.view(-1)[i] = (up - down) / 2e-6
        pulls.append(slopes.norm())
    assert weight * (pulls[1] + OFFSET) == pytest.approx(float(pulls[0]), rel=1e-6)


def test_the_weight_is_bounded():
    """A discriminator without a slope has a large weight, and never an infinite one."""
    last = normal(3).requires_grad_()
    assert adaptive_weight(1e3 * last.sum(), 0 * last.sum(), last) == LARGEST
