"""Edits by a change of prompt, against models whose flows are known."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core import schedule as schedules
from latentgeo.core.gaussian import Gaussian, exact_eps, flow
from latentgeo.core.guidance import guided
from latentgeo.core.schedule import times
from latentgeo.core.text_editing import (
    Prompted,
    guided_by_time,
    guided_pair,
    nulls_by_time,
    sdedit,
    switched,
)

SCHEDULE = schedules.scaled_linear()
T = SCHEDULE.T
SOURCE = Gaussian(torch.tensor([0.4, -1.0, 0.2]).double(), torch.tensor([0.7, 1.3, 0.9]).double())
TARGET = Gaussian(torch.tensor([-2.0, 1.5, 3.0]).double(), torch.tensor([0.4, 0.8, 1.6]).double())


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def halving(error):
    """Whether an error is of first order in the step: it halves as the steps double."""
    errors = [error(times(SCHEDULE, n, "trailing", final="zero")) for n in (125, 250, 500)]
    return errors[-1] < 0.03 and all(1.7 < a / b < 2.3 for a, b in pairwise(errors))


@pytest.mark.parametrize("release", [0.6, 0.8])
def test_switched_is_one_flow_and_then_the_other(release):
    """Smooth Eq. 15: the source's exact flow from T to T r, then the target's to clean data."""
    x = normal(2, 3)
    top, switch, zero = (torch.full((2,), t) for t in (T, round(T * release), 0))
    halfway = flow(SOURCE, SCHEDULE, x, top, switch)
    expected = flow(TARGET, SCHEDULE, halfway, switch, zero)
    source, target = exact_eps(SOURCE, SCHEDULE), exact_eps(TARGET, SCHEDULE)
    predict = switched(source, target, SCHEDULE, release)

    def error(visited):
        return (ddim.sample(predict, SCHEDULE, x, visited) - expected).abs().max().item()

    assert halving(error)


@pytest.mark.parametrize("release", [0.0, 0.29, 0.6, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("steps", [10, 20, 50, 100])
def test_switched_takes_the_published_number_of_steps(release, steps):
    """Smooth Eq. 15: the source's ε for the i-th step where i < (1-r) N, as released."""
    asked = []

    def side(name):
        return lambda x, t: asked.append(name) or torch.zeros_like(x)

    visited = times(SCHEDULE, steps)
    ddim.sample(switched(side("s"), side("t"), SCHEDULE, release), SCHEDULE, normal(1, 3), visited)
    share = (1 - Fraction(str(release))) * steps
    if share.denominator == 1:
        assert asked.count("s") == share
    assert asked == sorted(asked) and abs(asked.count("s") - math.ceil(share)) <= 1


def test_a_batch_at_different_times_takes_each_side_for_each():
    """Smooth Eq. 15, sample by sample; the boundary itself, t = T r, is the target's."""
    source, target = (lambda x, t: x + 1), (lambda x, t: x - 1)
    x, t = torch.zeros(3, 2, 5), torch.tensor([701, 700, 300])
    out = switched(source, target, SCHEDULE, 0.7)(x, t)
    assert out[:, 0, 0].tolist() == [1, -1, -1]


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_sdedit_is_the_flow_from_the_noised_image(strength):
    """SDEdit Alg. 1: x_{t_0} = √ᾱ x_0 + √(1-ᾱ) z carried to clean data by the exact flow."""
    x_0, z = normal(2, 3, seed=1), normal(2, 3, seed=2)
    predict = exact_eps(TARGET, SCHEDULE)

    def error(visited):
        t_0 = round(T * strength)
        bar, zero = SCHEDULE.alpha_bar[t_0], torch.zeros(2, dtype=torch.int64)
        noised = bar.sqrt() * x_0 + (1 - bar).sqrt() * z
        expected = flow(TARGET, SCHEDULE, noised, torch.full((2,), t_0), zero)
        out = sdedit(predict, SCHEDULE, x_0, z, visited, strength)
        return (out - expected).abs().max().item()

    assert halving(error)


def test_sdedit_starts_at_the_noise_of_its_first_time():
    """SDEdit Alg. 1: the network first sees √ᾱ x_0 + √(1-ᾱ) z, at t_0 itself."""
    x_0, z, asked = normal(2, 3, seed=1), normal(2, 3, seed=2), []
    visited = times(SCHEDULE, 20)
    sdedit(lambda x, t: asked.append((x, t)) or 0 * x, SCHEDULE, x_0, z, visited, 0.25)
    x, t = asked[0]
    bar = SCHEDULE.alpha_bar[visited[-6]]
    assert t.tolist() == [visited[-6]] * 2 and len(asked) == 5
    torch.testing.assert_close(x, bar.sqrt() * x_0 + (1 - bar).sqrt() * z)


def test_release_is_a_share():
    with pytest.raises(ValueError, match="release must be in"):
        switched(None, None, SCHEDULE, 1.5)


def network(calls=None):
    def predict(x_t, t, context):
        if calls is not None:
            calls.append(len(x_t))
        return x_t * context.mean(dim=(1, 2)).reshape(-1, 1) + t.reshape(-1, 1) / 1000

    return predict


def test_each_step_has_its_own_null():
    """Smooth Eq. 5 with ∅_t: the i-th embedding for the step that leaves the i-th time."""
    visited, context = times(SCHEDULE, 5), normal(1, 2, 7)
    null = normal(5, 2, 7, seed=3)
    x = normal(2, 3, seed=4)
    predict = guided_by_time(network(), context, null, visited, 2.5)
    for i, t in enumerate(visited[:-1]):
        now = torch.full((2,), t)
        expected = guided(network(), context, null[i : i + 1], 2.5)(x, now)
        torch.testing.assert_close(predict(x, now), expected, rtol=0, atol=0)
    assert nulls_by_time(null[:1], visited)(torch.tensor([77])) is not None
    with pytest.raises(ValueError, match="null has 4 rows: give 1 or one per step, 5"):
        nulls_by_time(null[:4], visited)


@pytest.mark.parametrize(
    ("w_source", "w_target", "rows"), [(1, 1, 6), (1, 3.0, 9), (2.0, 3.0, 12), (2.0, 1, 12)]
)
def test_a_pair_is_both_sides_in_one_call(w_source, w_target, rows):
    """Smooth Eq. 5 for either side with a scale of its own; a w of 1 for both needs no ∅_t."""
    visited, null = times(SCHEDULE, 5), normal(5, 2, 7, seed=1)
    source, target = normal(3, 2, 7, seed=2), normal(1, 2, 7, seed=3)
    x, t = normal(6, 3, seed=4), torch.full((6,), visited[2])
    calls: list[int] = []
    sides = Prompted(source, w_source), Prompted(target, w_target)
    out = guided_pair(network(calls), *sides, null, visited)(x, t)
    assert calls == [rows]
    for part, context, w in ((x[:3], source, w_source), (x[3:], target, w_target)):
        alone = guided(network(), context, null[2:3], w)(part, t[:3])
        mine = out[:3] if part.data_ptr() == x.data_ptr() else out[3:]
        torch.testing.assert_close(mine, alone, rtol=1e-12, atol=1e-12)
