"""Null-text inversion against closed forms, finite differences and torch's own Adam.

Over 300 lines: all are held to the same linear networks.
"""

from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim, null_text
from latentgeo.core import schedule as schedules
from latentgeo.core.guidance import guided
from latentgeo.core.null_text import (
    Goal,
    adam_step,
    descend,
    fit,
    gradient,
    learning_rate,
    pivots,
    sample,
    tolerance,
)
from latentgeo.core.schedule import batch_time, times

SCHEDULE = schedules.scaled_linear()
SHAPE, TOKENS, WIDTH, W = (2, 3, 5), 3, 11, 3.5
SIZE = 2 * 3 * 5
VISITED = times(SCHEDULE, 7)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


MATRIX = torch.linalg.qr(drawn(TOKENS * WIDTH, SIZE, seed=1)).Q.T  # (30, 33), rows orthonormal
OWN = drawn(SIZE, SIZE, seed=2) / 40


def linear(x, t, context):
    """Return ε = K x + M vec(c): linear in the image and in the text."""
    eps = x.flatten(1) @ OWN.T + context.flatten(1) @ MATRIX.T
    return eps.unflatten(1, SHAPE)


def curved(x, t, context):
    return torch.tanh(linear(x, t, context) + (t / 1000).reshape(-1, 1, 1, 1))


def goal_of(predict, images, t=500, t_prev=480, seed=3):
    x, target = drawn(2, images, *SHAPE, seed=seed)
    now, prev = batch_time(t, x), batch_time(t_prev, x)
    eps = predict(x, now, drawn(images, TOKENS, WIDTH, seed=seed + 1))
    landed = ddim.step(SCHEDULE, x, eps, now, prev)
    return Goal(SCHEDULE, x, eps, landed + 0.01 * target, now, prev, W)


def test_published_rates_up_to_100_steps_and_a_positive_one_beyond():
    """NTI Alg. 1: 1e-2 (1 - i/100) and 1e-5 + 2e-5 i as released, for up to 100 steps."""
    for count in (1, 50, 100):
        for i in range(count):
            assert learning_rate(i, count) == pytest.approx(1e-2 * (1 - i / 100))
            assert tolerance(i, count) == pytest.approx(1e-5 + 2e-5 * i)
    for count in (101, 250, 1000):
        rates = [learning_rate(i, count) for i in range(count)]
        assert rates[0] == 1e-2 and rates[-1] == pytest.approx(1e-2 / count)
        assert all(a > b > 0 for a, b in pairwise(rates))
        assert tolerance(0, count) == 1e-5 and tolerance(count - 1, count) < 1e-5 + 2e-3


def test_fit_finds_the_null_text_of_a_linear_network():
    """SmoothS Eq. 4: with ε linear in ∅ the least error is 0, at the ∅ that solves the step.

    The step is solved by hand for the ε it needs (Smooth Eq. 3), that for ε(∅), that for ∅.
    """
    goal = goal_of(linear, 1)
    bar, bar_prev = SCHEDULE.alpha_bar[500], SCHEDULE.alpha_bar[480]
    slope = bar_prev.sqrt() * ((1 / bar_prev - 1).sqrt() - (1 / bar - 1).sqrt())
    eps = (goal.target - (bar_prev / bar).sqrt() * goal.x_t) / slope
    eps_null = ((eps - W * goal.eps_cond) / (1 - W)).flatten()
    start = drawn(1, TOKENS, WIDTH, seed=9)
    rest = eps_null - (goal.x_t.flatten() @ OWN.T + start.flatten() @ MATRIX.T)
    nearest = start.flatten() + MATRIX.T @ rest  # whatever is orthogonal to the rows stays
    error, flat = gradient(linear, goal, nearest.reshape(1, TOKENS, WIDTH))
    assert error.item() < 1e-20 and flat.abs().max() < 1e-10
    error, flat = gradient(linear, goal, start)
    bent = 2 * ((1 - W) * slope) ** 2 / SIZE * MATRIX.T @ MATRIX
    torch.testing.assert_close(flat.flatten(), bent @ (start.flatten() - nearest))
    found = fit(linear, goal, start, 5e-2, 0.0, 500)
    torch.testing.assert_close(
        linear(goal.x_t, goal.t, found).flatten(), eps_null, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("share", [1, 3])
def test_gradient_is_the_finite_difference(share):
    """SmoothS Eq. 4, SmoothS Eq. 5: of the error, summed over the images that share ∅_t."""
    goal, null = goal_of(curved, 2 * share), drawn(2, TOKENS, WIDTH, seed=5)
    step, away = 1e-5, drawn(2, TOKENS, WIDTH, seed=6)
    error, slope = gradient(curved, goal, null)
    ahead, _ = gradient(curved, goal, null + step * away)
    behind, _ = gradient(curved, goal, null - step * away)
    moved = (slope * away).flatten(1).sum(1)
    torch.testing.assert_close(moved, (ahead - behind) / (2 * step), rtol=1e-7, atol=0)
    each = goal.miss(curved(goal.x_t, goal.t, null.repeat_interleave(share, 0))) / SIZE
    torch.testing.assert_close(error, torch.stack([part.sum() for part in each.split(share)]))


def test_dual_form_of_one_image_twice_is_the_single_form():
    """SmoothS Eq. 5: equal images and one ∅_t are Eq. 4 twice, and Adam does not see the factor."""
    once, null = goal_of(curved, 1), drawn(1, TOKENS, WIDTH, seed=5)
    twice = once.rows(torch.tensor([0, 0]))
    alone = fit(curved, once, null, 1e-2, 0.0, 9)
    together = fit(curved, twice, null, 1e-2, 0.0, 9)
    assert (alone - null).abs().max() > 1e-2
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)  # Adam's ε beside the gradient
    pivot = pivots(ddim.invert, bound(1), SCHEDULE, drawn(1, *SHAPE, seed=7), VISITED)
    context = drawn(1, TOKENS, WIDTH, seed=8)
    ends = []
    for images in (1, 2):
        steps = descend(
            curved, SCHEDULE, pivot.repeat(1, images, 1, 1, 1), VISITED,
            context.repeat(images, 1, 1), null, W,
        )  # fmt: skip
        ends.append(list(steps)[-1][1])
    torch.testing.assert_close(ends[1][0], ends[1][1])
    torch.testing.assert_close(ends[1][:1], ends[0], rtol=0, atol=1e-3)


def published(goal, null, rate, enough, inner):
    """Return ∅_t by torch's Adam, one image at a time, stopped once an error was enough."""
    leaf = null.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=rate)
    for n in range(1, inner + 1):  # noqa: B007 (the number of updates is returned)
        loss = goal.miss(curved(goal.x_t, goal.t, leaf)).sum() / SIZE
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < enough:
            break
    return leaf.detach(), n


def test_a_batch_stops_each_null_text_where_it_would_alone():
    """NTI Alg. 1, Adam Alg. 1: three images together, each as torch's Adam fits it alone."""
    goal, null = goal_of(curved, 3), drawn(3, TOKENS, WIDTH, seed=5)
    error, _ = gradient(curved, goal, null)
    enough = error.median().item() * 0.9
    alone = [
        published(goal.rows(torch.tensor([i])), null[i : i + 1], 1e-2, enough, 10) for i in range(3)
    ]
    assert len({n for _, n in alone}) > 1 and min(n for _, n in alone) < 10
    together = fit(curved, goal, null, 1e-2, enough, 10)
    torch.testing.assert_close(together, torch.cat([found for found, _ in alone]))


def test_images_that_share_a_null_text_are_its_own():
    """NTI Alg. 1, SmoothS Eq. 5: of two ∅ for two images each, either is fitted as if alone."""
    goal, null = goal_of(curved, 4), drawn(2, TOKENS, WIDTH, seed=5)
    together = fit(curved, goal, null, 1e-2, 0.0, 3)
    for i in range(2):
        rows = torch.tensor([2 * i, 2 * i + 1])
        alone = fit(curved, goal.rows(rows), null[i : i + 1], 1e-2, 0.0, 3)
        torch.testing.assert_close(together[i : i + 1], alone)


def test_a_null_text_is_not_touched():
    """SmoothS Eq. 5: whoever asks for a gradient keeps a tensor that tracks none."""
    goal, null = goal_of(curved, 1), drawn(1, TOKENS, WIDTH, seed=5)
    before = null.clone()
    assert not any(found.requires_grad for found in gradient(curved, goal, null))
    assert not null.requires_grad and torch.equal(null, before)


def test_first_adam_step_is_the_rate_in_the_sign_of_the_gradient():
    """Adam Alg. 1: m̂ = g and v̂ = g² at n = 1."""
    g = drawn(5)
    torch.testing.assert_close(adam_step(0.1 * g, 0.001 * g**2, 1, 0.3), 0.3 * g.sign())


def test_a_gradient_as_small_as_adams_epsilon_moves_by_half_the_rate():
    """Adam Alg. 1: g / (|g| + ε) with ε = 1e-8 and g = ±1e-8, and by a quarter where it is ε/3."""
    g = 1e-8 * torch.tensor([1, -1, 1 / 3], dtype=torch.float64)
    wanted = torch.tensor([0.15, -0.15, 0.075], dtype=torch.float64)
    torch.testing.assert_close(adam_step(0.1 * g, 0.001 * g**2, 1, 0.3), wanted)


def bound(images, seed=8):
    context = drawn(images, TOKENS, WIDTH, seed=seed)
    return guided(curved, context, context, 1.0)


CONTEXT = drawn(2, TOKENS, WIDTH, seed=8)
NULL = CONTEXT + 0.1 * drawn(2, TOKENS, WIDTH, seed=5)


def walk(**more):
    pivot = pivots(ddim.invert, bound(2), SCHEDULE, drawn(2, *SHAPE, seed=7), VISITED)
    given = {"null": NULL, "w": W, **more}
    return pivot, list(descend(curved, SCHEDULE, pivot, VISITED, CONTEXT, **given))


def test_pivot_is_the_way_of_the_inversion():
    """NTI Alg. 1: from the noise down to the image itself, every step as the inversion took it."""
    x = drawn(2, *SHAPE, seed=7)
    pivot = pivots(ddim.invert, bound(2), SCHEDULE, x, VISITED)
    assert pivot.shape == (len(VISITED), 2, *SHAPE) and torch.equal(pivot[-1], x)
    torch.testing.assert_close(pivot[0], ddim.invert(bound(2), SCHEDULE, x, VISITED))
    part = ddim.invert(bound(2), SCHEDULE, x, VISITED[3:])
    torch.testing.assert_close(pivot[3], part)


def test_null_texts_lead_closer_to_the_pivot_and_sampling_goes_the_same_way():
    """NTI Alg. 1, Smooth Eq. 5: ends nearer than without, where sampling with ∅_t ends too."""
    pivot, steps = walk()
    nulls = torch.stack([found for found, _ in steps])
    end = sample(curved, SCHEDULE, pivot[0], VISITED, CONTEXT, nulls, W)
    torch.testing.assert_close(end, steps[-1][1])
    plain = sample(curved, SCHEDULE, pivot[0], VISITED, CONTEXT, NULL.expand(7, -1, -1, -1), W)
    assert (end - pivot[-1]).norm() < 0.5 * (plain - pivot[-1]).norm()


def printed_goals(pivot):
    """SmoothS Eq. 4 of every step: from the pivot's own x̃_t to its x̃_{t-1}."""
    for x, target, (t, t_prev) in zip(pivot, pivot[1:], pairwise(VISITED), strict=False):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        yield Goal(SCHEDULE, x, curved(x, now, CONTEXT), target, now, prev, W)


def test_as_printed_each_step_is_fitted_from_the_pivot():
    """SmoothS Eq. 4: ‖x̃_{t-1} - DDIM(x̃_t, …, ∅_t)‖², less of which the released ∅_t, fitted from
    x̄_t, leave by far; but their walk ends nearer, since what was missed before is made up for.
    """
    pivot, released = walk()
    _, printed = walk(from_pivot=True)
    null, missed = NULL, {"printed": 0.0, "released": 0.0}
    for i, goal in enumerate(printed_goals(pivot)):
        null = fit(curved, goal, null, learning_rate(i, 7), tolerance(i, 7), 10)
        torch.testing.assert_close(printed[i][0], null, rtol=0, atol=1e-12)
        bar, prev = (SCHEDULE.alpha_bar[t] for t in VISITED[i : i + 2])
        for name, steps in (("printed", printed), ("released", released)):
            eps = W * goal.eps_cond + (1 - W) * curved(goal.x_t, goal.t, steps[i][0])
            P = (goal.x_t - (1 - bar).sqrt() * eps) / bar.sqrt()
            landed = prev.sqrt() * P + (1 - prev).sqrt() * eps
            missed[name] += (landed - goal.target).square().sum().item()
            if name == "printed":
                torch.testing.assert_close(steps[i][1], landed, rtol=1e-9, atol=1e-9)
    assert missed["released"] > 1.5 * missed["printed"]
    ends = [
        sample(curved, SCHEDULE, pivot[0], VISITED, CONTEXT, torch.stack([n for n, _ in steps]), W)
        for steps in (released, printed)
    ]
    assert (ends[0] - pivot[-1]).norm() < (ends[1] - pivot[-1]).norm()


def test_warm_start_from_the_step_before():
    """NTI Alg. 1: without updates ∅_t stays the first; with one, each moves from the last."""
    _, none = walk(inner=0)
    assert all(torch.equal(null, none[0][0]) for null, _ in none)
    _, one = walk(inner=1)
    for i, ((before, _), (after, _)) in enumerate(pairwise(one), 1):
        moved = (after - before).abs()
        assert moved.max() <= learning_rate(i, 7) * (1 + 1e-6) and moved.max() > 0


def test_beyond_100_steps_each_is_taken_at_the_rate_for_as_many():
    """NTI Alg. 1: Adam's first update is as large as its rate, here at the last of 150 steps."""
    visited = times(SCHEDULE, 150)
    pivot = pivots(ddim.invert, bound(2), SCHEDULE, drawn(2, *SHAPE, seed=7), visited)
    last = {"x": pivot[149], "first": 149, "inner": 1}
    ((after, _),) = descend(curved, SCHEDULE, pivot, visited, CONTEXT, NULL, W, **last)
    assert abs((after - NULL).abs().max().item() * 150 / 1e-2 - 1) < 5e-3  # but for Adam's ε


def test_each_step_is_fitted_at_its_own_rate_and_tolerance(monkeypatch):
    """NTI Alg. 1: both change from step to step as released."""
    seen = []

    def noted(predict, goal, null, rate, enough, inner):
        seen.append((rate, enough))
        return fit(predict, goal, null, rate, enough, inner)

    monkeypatch.setattr(null_text, "fit", noted)
    walk(inner=1)
    rates = [1e-2 * (1 - i / 100) for i in range(7)]
    assert [rate for rate, _ in seen] == pytest.approx(rates)
    assert [enough for _, enough in seen] == pytest.approx([1e-5 + 2e-5 * i for i in range(7)])


def test_goes_on_where_it_stopped():
    _, whole = walk()
    null, x = whole[2]
    _, rest = walk(first=3, x=x, null=null)
    assert len(rest) == 4
    for (a, b), (c, d) in zip(rest, whole[3:], strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)


def test_network_is_asked_once_for_the_text_and_once_per_update():
    """The ε of ξ once a step; per update one ε of ∅, and one to go on with."""
    asked = []

    def watched(x, t, context):
        asked.append(context.requires_grad)
        return curved(x, t, context)

    pivot, _ = walk()
    next(descend(watched, SCHEDULE, pivot, VISITED, CONTEXT, NULL[:1], W, inner=4))
    assert asked == [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": 1}, "w = 1"),
        ({"null": drawn(3, TOKENS, WIDTH)}, "divisor"),
        ({"context": drawn(1, TOKENS, WIDTH)}, "a row each"),
        ({"times": VISITED[:-1]}, "a row each"),
        ({"times": (5, 7)}, "descending"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {
        "predict": curved,
        "schedule": SCHEDULE,
        "pivot": drawn(8, 2, *SHAPE),
        "times": VISITED,
        "context": CONTEXT,
        "null": NULL,
        "w": W,
    }
    with pytest.raises(ValueError, match=message):
        next(descend(**{**given, **change}))
    with pytest.raises(ValueError, match="wanted one for each of 7"):
        sample(curved, SCHEDULE, drawn(2, *SHAPE), VISITED, given["context"], drawn(3, 2, 1, 1), W)
