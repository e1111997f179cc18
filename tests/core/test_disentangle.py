"""Weights of two texts, found through the sampler: gradients, memory, and answers known before."""

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core import schedule as schedules
from latentgeo.core.asyrp import directional_loss
from latentgeo.core.disentangle import first_weights, fit, loss, mixed, sample_mixed
from latentgeo.core.schedule import times

SCHEDULE = schedules.scaled_linear()
VISITED = times(SCHEDULE, 7)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SOURCE, TARGET = normal(1, 3, 5, seed=1), normal(2, 3, 5, seed=2)
MIX = normal(5, 11, seed=3)


def network(x, t, context):
    """Nothing like a flow, but smooth in x and in the text."""
    return (x + context.mean(1) @ MIX + t[:, None] / 500).tanh()


def draw(weights, held=1):
    x_T = normal(2, 11, seed=4)
    return sample_mixed(network, SCHEDULE, x_T, VISITED, SOURCE, TARGET, weights, held)


def judged(x):
    """L_CLIP of a linear encoder with β times a squared distance."""
    before, encoder, texts = normal(2, 11, seed=5), normal(11, 6, seed=6), normal(2, 6, seed=7)
    direction = directional_loss(before @ encoder, x @ encoder, texts[0], texts[1])
    return loss(direction, (x - before).square().mean(1), 0.05)


def test_the_gradient_is_that_of_finite_differences():
    """Disentangle Sec. 4a, Disentangle Sec. 4b: to 1e-6, in every λ of every image."""
    weights = normal(7, 2, seed=8).sigmoid().requires_grad_()
    (slope,) = torch.autograd.grad(judged(draw(weights)).sum(), weights)
    measured = torch.zeros_like(slope)
    for i in range(weights.numel()):
        step = torch.zeros_like(slope)
        step.view(-1)[i] = 1e-5
        ahead, behind = (judged(draw(weights.detach() + s)).sum() for s in (step, -step))
        measured.view(-1)[i] = (ahead - behind) / 2e-5
    assert (slope - measured).abs().max() < 1e-6 * measured.abs().max()


@pytest.mark.parametrize("side", [1.0, 0.0])
def test_all_of_one_text_is_plain_sampling(side):
    """Disentangle Sec. 4a: λ = 1 is c^(0), λ = 0 is c^(1), through `ddim.sample`."""
    x_T, context = normal(2, 11, seed=4), SOURCE if side else TARGET
    plain = ddim.sample(lambda x, t: network(x, t, context), SCHEDULE, x_T, VISITED)
    found = draw(torch.full((7, 2), side, dtype=torch.float64))
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)


def test_a_mixture_is_on_the_line_between_the_texts():
    """Disentangle Sec. 4a: as far from c^(0) as 1-λ says, image by image."""
    weight = torch.tensor([0.25, 1.5], dtype=torch.float64)
    found = mixed(SOURCE, TARGET, weight)
    apart = (found - SOURCE).flatten(1).norm(dim=1) / (TARGET - SOURCE).flatten(1).norm(dim=1)
    torch.testing.assert_close(apart, (1 - weight).abs())


def kept(steps, held=1):
    """Return the numbers that a graph of so many steps keeps for its backward pass."""
    count = 0

    def pack(tensor):
        nonlocal count
        count += tensor.numel()
        return tensor

    visited, x_T = times(SCHEDULE, steps), normal(2, 11)
    weights = torch.ones(steps, 2, dtype=torch.float64).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sample_mixed(network, SCHEDULE, x_T, visited, SOURCE, TARGET, weights, held)
    return count


def test_a_step_keeps_what_it_began_with_alone():
    """Disentangle Sec. 4a: per step less than twice x_t, where the step's own graph is far more."""
    per_step = (kept(20) - kept(10)) / 10
    assert per_step < 2 * 22
    assert kept(10, held=10) > 3 * kept(10)


@pytest.mark.parametrize("held", [3, 7])
def test_graphs_that_are_kept_change_no_gradient(held):
    """Disentangle Sec. 4a: only what is in memory, to the last bit."""
    weights = normal(7, 2, seed=8).sigmoid().requires_grad_()
    first, other = (
        torch.autograd.grad(judged(draw(weights, n)).sum(), weights)[0] for n in (1, held)
    )
    assert torch.equal(first, other)


def test_the_descent_finds_weights_that_are_known():
    """Disentangle Sec. 4b: the image of some λ is found again, to a hundredth of the loss."""
    known = normal(7, 2, seed=8).sigmoid()
    aim = draw(known).detach()
    start = first_weights(7, 2, known)

    def judge(x):
        return (x - aim).square().mean(1)

    found = fit(draw, judge, start, 200, 0.05)
    assert (judge(draw(found)) < 1e-2 * judge(draw(start))).all()


def test_each_image_is_fitted_as_it_would_be_alone():
    """Disentangle Sec. 4b: a batch shares nothing but the call."""
    start, x_T = first_weights(7, 2, SOURCE), normal(2, 11, seed=4)

    def alone(i):
        def one(weights):
            return sample_mixed(
                network, SCHEDULE, x_T[i : i + 1], VISITED, SOURCE, TARGET[i : i + 1], weights
            )

        return fit(one, lambda x: x.square().mean(1), start[:, i : i + 1], 5, 0.05)

    both = fit(draw, lambda x: x.square().mean(1), start, 5, 0.05)
    torch.testing.assert_close(both, torch.cat([alone(0), alone(1)], 1), rtol=1e-9, atol=1e-9)
    assert torch.equal(fit(draw, judged, start, 0, 0.05), start)


def test_the_first_steps_are_the_sources():
    """Disentangle Sec. 4b: 20 of 50 as released, the same share of other counts."""
    weights = first_weights(50, 3, SOURCE)
    assert weights[:20].eq(1).all() and weights[20:].eq(0).all()
    assert first_weights(25, 1, SOURCE).sum() == 10


def test_weights_are_of_every_step_and_image():
    with pytest.raises(ValueError, match="wanted \\(7, 2\\), steps by images"):
        draw(torch.ones(7, 3, dtype=torch.float64))
