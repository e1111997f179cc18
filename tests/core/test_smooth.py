"""The regularizer's directions, running mean, loss and what it says about Eq. 8."""

from itertools import pairwise

import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.ddim import sample
from latentgeo.core.ddpm import q_sample
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.schedule import times
from latentgeo.core.smooth import (
    RunningMean,
    batch_sums,
    global_ratio,
    mean_at,
    objective,
    official_direction,
    regularizer,
    running_mean,
    step_ratio,
    unit_direction,
    update,
)
from latentgeo.core.variation_routes import variation
from latentgeo.eval.audit.errors import deviates

SCHEDULE = schedules.scaled_linear()


def test_unit_direction_is_on_the_sphere_and_isotropic():
    """Smooth Eq. 9: exactly unit length, and E[ΔΔᵀ] = I/n."""
    like = torch.zeros(20011, 1, 3, dtype=torch.float64)
    d = unit_direction(like, torch.Generator().manual_seed(0)).flatten(1)
    torch.testing.assert_close(d.norm(dim=1), torch.ones_like(d[:, 0]), rtol=1e-14, atol=0)
    one = torch.eye(3).double()  # E[Δ_i² Δ_j²] is 1/15, and 3/15 for i = j
    spread = (((1 + 2 * one) / 15 - one / 9) / len(d)).sqrt()
    assert deviates(d.T @ d / len(d), one / 3, spread, len(d)) < 5
    assert deviates(d.mean(0), torch.zeros(3), (1 / 3 / len(d)) ** 0.5, len(d)) < 5
    again = unit_direction(like, torch.Generator().manual_seed(0)).flatten(1)
    assert torch.equal(d, again)


def test_official_direction_is_unit_in_the_mean_square_only():
    """Smooth Eq. 9, as released: N(0, I/n)."""
    like = torch.zeros(20011, 1, 3, dtype=torch.float64)
    d = official_direction(like, torch.Generator().manual_seed(0)).flatten(1)
    squares, n, scatter = d.square().sum(1), len(d), (2 / 3) ** 0.5  # χ²(3)/3: excess kurtosis 4
    assert deviates(squares.mean(), 1, scatter / n**0.5, n) < 5
    assert deviates(squares.std(), scatter, scatter * ((2 + 4) / (4 * n)) ** 0.5, n) < 5
    alone = official_direction(like[:1], torch.Generator().manual_seed(0))
    assert alone.square().sum() < 12  # one sample has the scale of many


def feed(state: RunningMean, *batches: list[float], t: int = 1) -> RunningMean:
    for batch in batches:
        v = torch.tensor(batch, dtype=torch.float64)
        at = torch.full((len(batch),), t)
        state = update(state, batch_sums(state, SCHEDULE, v, at))
    return state


def test_running_mean_is_the_normalized_weighted_mean():
    """Smooth Eq. 9, Smooth Err. 4: a = Σ 0.99^(n-k) m_k / Σ 0.99^(n-k), m_k the mean of batch k."""
    batches = [[1.0, 2.0], [5.0], [0.5, 0.25, 0.75]]
    a = mean_at(feed(running_mean(), *batches), SCHEDULE, torch.tensor([7]))
    weights = [0.99**2, 0.99, 1.0]
    means = [1.5, 5.0, 0.5]
    expected = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    assert a.item() == pytest.approx(expected, rel=1e-13)
    first = mean_at(feed(running_mean(), [1.0, 2.0]), SCHEDULE, torch.tensor([7, 9]))
    torch.testing.assert_close(first, torch.full((2,), 1.5).double())
    assert feed(running_mean(), [1.0, 2.0]).raw.item() == pytest.approx(0.015)  # as released


def test_running_mean_of_a_constant_is_the_constant():
    """Smooth Eq. 9: at once and for ever, not after hundreds of steps."""
    state = running_mean()
    for _ in range(5):
        state = feed(state, [0.7, 0.7])
        a = mean_at(state, SCHEDULE, torch.tensor([1]))
        assert a.item() == pytest.approx(0.7, rel=1e-12) and not a.requires_grad


def test_running_mean_of_processes_is_that_of_the_whole_batch():
    """Smooth Eq. 9: sums added over processes are the sums of the joined batch, unequal or not."""
    state = running_mean(3)
    v = torch.rand(7, dtype=torch.float64)
    t = torch.tensor([1, 334, 335, 500, 668, 999, 1000])
    parts = batch_sums(state, SCHEDULE, v[:2], t[:2]) + batch_sums(state, SCHEDULE, v[2:], t[2:])
    torch.testing.assert_close(parts, batch_sums(state, SCHEDULE, v, t))
    assert parts[1].tolist() == [2, 2, 3]


def test_ranges_of_t_have_their_own_mean():
    """Smooth Eq. 9, per range of t: each sees its own samples, and an empty one says so."""
    state = feed(running_mean(2), [3.0], t=500)
    state = feed(state, [9.0, 11.0], t=1000)
    state = feed(state, [3.0], t=1)
    a = mean_at(state, SCHEDULE, torch.tensor([2, 499, 501]))
    torch.testing.assert_close(a, torch.tensor([3.0, 3.0, 10.0]).double())
    assert state.count.tolist() == [2, 1]
    with pytest.raises(ValueError, match="empty"):
        mean_at(feed(running_mean(2), [3.0], t=1), SCHEDULE, torch.tensor([1000]))
    with pytest.raises(ValueError, match="ranges"):
        running_mean(0)


def test_running_mean_resumes_from_its_tensors():
    """Smooth Eq. 9: raw and count are the whole state."""
    whole = feed(running_mean(), [1.0], [4.0], [2.5])
    half = feed(running_mean(), [1.0], [4.0])
    resumed = feed(RunningMean(half.raw.clone(), half.count.clone()), [2.5])
    assert torch.equal(whole.raw, resumed.raw) and torch.equal(whole.count, resumed.count)


def test_regularizer_is_the_mean_squared_distance_from_a():
    """Smooth Eq. 9: its derivative is 2 (v - a)/B by differences, and a receives none."""
    v = torch.tensor([0.3, 1.7, 0.9], dtype=torch.float64, requires_grad=True)
    a = torch.tensor([0.5, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    to_v, to_a = torch.autograd.grad(regularizer(v, a), (v, a), allow_unused=True)
    assert to_a is None
    for i, step in enumerate(torch.eye(3, dtype=torch.float64) * 1e-4):
        secant = (regularizer(v + step, a) - regularizer(v - step, a)) / 2e-4
        assert secant.item() == pytest.approx(to_v[i].item(), rel=1e-9)
    assert regularizer(v, v.mean()).item() == pytest.approx(v.var(correction=0).item(), rel=1e-13)


def test_objective_weighs_the_penalty():
    """Smooth Eq. 14: ∂L/∂L_base = 1, ∂L/∂L_reg = λ, and λ is 1 if not said otherwise."""
    base, reg = torch.rand(2, dtype=torch.float64).requires_grad_().unbind()
    for weight in (0.1, 10.0):
        grads = torch.autograd.grad(objective(base, reg, weight), (base, reg))
        assert [g.item() for g in grads] == [1.0, weight]
    assert torch.equal(objective(base, reg), base + reg)


def orthogonal_network(c, n=7):
    """Return x̂_0 = c Q x_t with an orthogonal Q."""
    torch.manual_seed(1)
    q, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))
    return lambda x, t: c * x @ q.T


def test_orthogonal_jacobian_gives_the_papers_constant():
    """Smooth Eq. 8, Smooth Eq. 11, Smooth Eq. 12, Smooth Eq. 13: with J_ε J_εᵀ = K I from the full
    Jacobian, Jᵀ Δx̂_0 = K J⁻¹ Δx̂_0, a = √(1-ᾱ) K ‖Δε‖, and C = K/a is what moves are scaled by.
    """
    network, t = orthogonal_network(0.6), torch.tensor([400])
    x_0, eps = torch.randn(2, 1, 7, dtype=torch.float64)
    noise = 1 - SCHEDULE.alpha_bar[400]

    def x_0_hat(e):
        return network(q_sample(SCHEDULE, x_0, t, e), t)

    jacobian = torch.autograd.functional.jacobian(x_0_hat, eps).reshape(7, 7)
    k = (jacobian @ jacobian.T)[0, 0]
    torch.testing.assert_close(jacobian @ jacobian.T, k * torch.eye(7).double())
    d = unit_direction(x_0)
    delta_eps = torch.linalg.solve(jacobian, d[0])
    torch.testing.assert_close(jacobian.T @ d[0], k * delta_eps)
    a = variation(network, SCHEDULE, x_0, eps, t, d, "x_0")
    torch.testing.assert_close(a[0], noise.sqrt() * k * delta_eps.norm())
    c = step_ratio(SCHEDULE, a, t)
    torch.testing.assert_close(c[0], k / a[0])
    move = torch.randn(1, 7, dtype=torch.float64)  # the map is linear: a finite move will do
    moved = (x_0_hat(eps + move) - x_0_hat(eps)).norm()
    torch.testing.assert_close(c[0] * noise.sqrt() * move.norm(), moved)
    x_t_move = q_sample(SCHEDULE, x_0, t, eps + move) - q_sample(SCHEDULE, x_0, t, eps)
    torch.testing.assert_close(c[0] * x_t_move.norm(), moved)


def test_only_an_orthogonal_jacobian_has_no_penalty():
    """Smooth Eq. 9, Smooth Eq. 11: v is the same for all directions if and only if J is K Q."""
    q = orthogonal_network(0.6)
    stretch = torch.linspace(0.5, 1.5, 7, dtype=torch.float64)
    t = torch.full((31,), 400)
    x_0, eps = torch.randn(2, 31, 7, dtype=torch.float64)
    d = unit_direction(x_0)
    even = variation(q, SCHEDULE, x_0, eps, t, d, "x_0")
    uneven = variation(lambda x, at: q(x, at) * stretch, SCHEDULE, x_0, eps, t, d, "x_0")
    assert regularizer(even, even.mean()) < 1e-28
    assert regularizer(uneven, uneven.mean()) > 1e-4


def test_one_mean_for_all_steps_leaves_no_constant():
    """Smooth Eq. 13 (corrected), Smooth Err. 5: v equal at two steps means C = a/(1-ᾱ_t), which
    differs.
    """
    t = torch.tensor([200, 800])
    c = step_ratio(SCHEDULE, torch.tensor([0.3, 0.3], dtype=torch.float64), t)
    noise = 1 - SCHEDULE.alpha_bar[t]
    torch.testing.assert_close(c[0] / c[1], noise[1] / noise[0])
    assert c[0] / c[1] > 3


def test_global_ratio_of_a_gaussian_model():
    """Smooth Eq. 7: the whole sampler of Gaussian data is linear, ‖Δx̂_0‖ = C ‖Δε‖ for any move; C
    is the product of its steps' slopes, ratios of covariances.
    """
    s = 0.7
    visited = times(SCHEDULE, 10, "trailing", final="zero")
    predict = exact_eps(Gaussian(torch.tensor(0.3), torch.tensor(s, dtype=torch.float64)), SCHEDULE)
    noise, moved = torch.randn(2, 3, 5, dtype=torch.float64)
    images = [sample(predict, SCHEDULE, x, visited) for x in (noise, moved)]
    ratio = global_ratio(noise, moved, *images)
    expected = 1.0
    for t, t_prev in pairwise(visited):
        bar, low = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t_prev]
        covariance = (bar * low).sqrt() * s**2 + ((1 - bar) * (1 - low)).sqrt()
        expected = expected * covariance / (bar * s**2 + 1 - bar)
    torch.testing.assert_close(ratio, expected.expand(3), rtol=1e-6, atol=0)
