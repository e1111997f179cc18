"""DDIM steps, sampling and inversion against closed forms and composition laws.

A few lines over 300: steps, sampling and inversion are held to the same exact networks.
"""

from itertools import pairwise

import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.ddim import (
    invert,
    invert_official,
    invert_step,
    sample,
    sigma,
    step,
    step_from_x_0,
)
from latentgeo.core.ddpm import posterior, q_sample
from latentgeo.core.gaussian import Gaussian, exact_eps, flow
from latentgeo.core.parameterization import x_0_from_eps
from latentgeo.core.schedule import times

SCHEDULE = schedules.scaled_linear()
T = SCHEDULE.T
PAIRS = [(2, 1), (1, 0), (500, 499), (982, 962), (T, 17)]


def coefficients(t, t_prev, eta):
    """Return d x_prev / d (x_0, ε, z) where x_t is made of x_0 and the very ε the step is given."""
    x_0, eps, z = torch.zeros(3, 1, 1, dtype=torch.float64).requires_grad_().unbind()
    at, prev = torch.tensor([t]), torch.tensor([t_prev])
    out = step(SCHEDULE, q_sample(SCHEDULE, x_0, at, eps), eps, at, prev, eta, z)
    grads = torch.autograd.grad(out, (x_0, eps, z), allow_unused=True)
    return [0.0 if g is None else g.item() for g in grads]


@pytest.mark.parametrize(("t", "t_prev"), PAIRS)
@pytest.mark.parametrize("eta", [0.0, 0.37, 1.0])
def test_step_keeps_the_marginals(t, t_prev, eta):
    """DDIM Eq. 12: q(x_{t-1} | x_0) = N(√ᾱ_{t-1} x_0, (1-ᾱ_{t-1}) I) whatever σ is."""
    bar_prev = SCHEDULE.alpha_bar[t_prev].item()
    to_x_0, to_eps, to_z = coefficients(t, t_prev, eta)
    assert to_x_0 == pytest.approx(bar_prev**0.5, rel=1e-10)
    assert to_eps**2 + to_z**2 == pytest.approx(1 - bar_prev, rel=1e-10, abs=1e-14)
    assert to_eps >= 0 and to_z >= 0


@pytest.mark.parametrize("t", [2, 3, 500, T])
def test_eta_one_is_the_ddpm_posterior(t):
    """DDIM Eq. 16, DDIM Eq. 12: η = 1 is DDPM's posterior, and σ is linear in η."""
    torch.manual_seed(t)
    x_t, eps = torch.randn(2, 3, 5, dtype=torch.float64)
    at, prev = torch.tensor([t] * 3), torch.tensor([t - 1] * 3)
    mean, variance = posterior(SCHEDULE, x_t, x_0_from_eps(SCHEDULE, x_t, eps, at), at)
    quiet = step(SCHEDULE, x_t, eps, at, prev, 1.0, torch.zeros_like(x_t))
    torch.testing.assert_close(quiet, mean, rtol=1e-9, atol=1e-9)
    full = sigma(SCHEDULE, x_t, at, prev, 1.0)
    torch.testing.assert_close(full**2, variance, rtol=1e-10, atol=0)
    torch.testing.assert_close(sigma(SCHEDULE, x_t, at, prev, 0.3), 0.3 * full)
    noisy = step(SCHEDULE, x_t, eps, at, prev, 1.0, torch.ones_like(x_t))
    torch.testing.assert_close(noisy - quiet, full.expand_as(x_t), rtol=1e-9, atol=1e-12)


def test_a_step_from_almost_pure_noise_takes_new_noise_alone():
    """DDIM Eq. 12, DDIM Eq. 16: with ᾱ_t → 0 and η = 1, σ² → 1 - ᾱ_{t_prev} leaves nothing of ε,
    though rounding may have σ² above it.
    """
    beta = schedules.linear(1000).beta[1:102].clone()
    beta[-1] = 1 - 2**-53
    schedule, t_prev = schedules.from_beta(beta), torch.arange(1, 101)
    x_0, eps, noise = torch.randn(3, 100, 7, dtype=torch.float64)
    found = step_from_x_0(schedule, x_0, eps, torch.full((100,), 101), t_prev, 1.0, noise)
    bar = schedule.alpha_bar[t_prev, None]
    wanted = bar.sqrt() * x_0 + (1 - bar).sqrt() * noise
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7)


def test_noise_must_be_given():
    """DDIM Eq. 12 with η > 0 has a z."""
    x = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="noise of shape"):
        step(SCHEDULE, x, x, torch.tensor([5]), torch.tensor([4]), 0.5)


@pytest.mark.parametrize(("t", "t_prev"), PAIRS)
def test_step_is_straight_in_the_scaled_plane(t, t_prev):
    """Smooth Eq. 3: with x̄ = x/√ᾱ and σ = √(1/ᾱ - 1), x̄_{t-1} - x̄_t = (σ_{t-1} - σ_t) ε."""
    torch.manual_seed(t)
    x_t, eps = torch.randn(2, 2, 7, dtype=torch.float64)
    x_prev = step(SCHEDULE, x_t, eps, torch.tensor([t] * 2), torch.tensor([t_prev] * 2))
    bar, bar_prev = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t_prev]
    climb = (1 / bar_prev - 1).sqrt() - (1 / bar - 1).sqrt()
    torch.testing.assert_close(x_prev / bar_prev.sqrt() - x_t / bar.sqrt(), climb * eps)


def test_steps_with_one_eps_compose():
    """Smooth Eq. 3, DDIM Eq. 12: t → s → r with the same ε is t → r, and t → 0 is x̂_0."""
    torch.manual_seed(3)
    x_t, eps = torch.randn(2, 2, 7, dtype=torch.float64)
    t, s, r, zero = (torch.tensor([v, v]) for v in (900, 411, 13, 0))
    halfway = step(SCHEDULE, x_t, eps, t, s)
    twice = step(SCHEDULE, halfway, eps, s, r)
    torch.testing.assert_close(twice, step(SCHEDULE, x_t, eps, t, r), rtol=1e-10, atol=1e-12)
    x_0 = step(SCHEDULE, x_t, eps, t, zero)
    torch.testing.assert_close(q_sample(SCHEDULE, x_0, t, eps), x_t, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("t_next", "t"), PAIRS)
def test_invert_step_undoes_a_step(t_next, t):
    """Smooth Eq. 4: with the same ε, up and then down (Eq. 3) is where it began."""
    torch.manual_seed(t)
    x_t, eps = torch.randn(2, 3, 7, dtype=torch.float64)
    low, high = torch.tensor([t] * 3), torch.tensor([t_next] * 3)
    up = invert_step(SCHEDULE, x_t, eps, low, high)
    torch.testing.assert_close(step(SCHEDULE, up, eps, high, low), x_t, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(up, x_t)


def test_inverting_clean_data_with_its_noise_is_the_forward_process():
    """Smooth Eq. 4, DDPM Eq. 4: from t = 0 the step up is √ᾱ_t x_0 + √(1-ᾱ_t) ε."""
    x_0, eps = torch.randn(2, 3, 7, dtype=torch.float64)
    zero, t = torch.zeros(3, dtype=torch.int64), torch.tensor([1, 500, T])
    up = invert_step(SCHEDULE, x_0, eps, zero, t)
    torch.testing.assert_close(up, q_sample(SCHEDULE, x_0, t, eps), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("t", "t_prev"), PAIRS)
def test_step_with_the_exact_network_is_a_regression(t, t_prev):
    """DDIM Eq. 12: for Gaussian data the step is E[√ᾱ' x_0 + √(1-ᾱ') ε | x_t], a ratio of
    covariances.
    """
    torch.manual_seed(5)
    m, s = torch.tensor(0.4, dtype=torch.float64), 0.7
    x = torch.randn(2, 3, dtype=torch.float64)
    at, prev = torch.tensor([t] * 2), torch.tensor([t_prev] * 2)
    out = step(SCHEDULE, x, exact_eps(Gaussian(m, m * 0 + s), SCHEDULE)(x, at), at, prev)
    bar, low = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t_prev]
    covariance = (bar * low).sqrt() * s**2 + ((1 - bar) * (1 - low)).sqrt()
    slope = covariance / (bar * s**2 + 1 - bar)
    expected = low.sqrt() * m + slope * (x - bar.sqrt() * m)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-11)


def test_flow_solves_the_ode():
    """DDIM Eq. 14: dx̄/dσ = ε(x̄/√(σ²+1)), by differences over neighbouring times of a schedule
    whose steps are tiny.
    """
    beta = torch.full((21,), 1e-6, dtype=torch.float64)
    beta[0] = 0.37
    fine = schedules.from_beta(beta)
    data = Gaussian(torch.tensor(0.4, dtype=torch.float64), torch.tensor(0.7))
    x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at, low, high = (torch.tensor([t] * 3) for t in (11, 10, 12))

    def scaled(t):
        bar = fine.bar(t, x)
        return flow(data, fine, x, at, t) / bar.sqrt(), (1 / bar - 1).sqrt()

    (x_low, s_low), (x_high, s_high) = scaled(low), scaled(high)
    slope = (x_high - x_low) / (s_high - s_low)
    torch.testing.assert_close(slope, exact_eps(data, fine)(x, at), rtol=1e-8, atol=1e-8)


def test_one_step_is_exact_for_one_point():
    """DDIM Eq. 12: for data of no spread a single step from T to 0 is the exact flow."""
    mean = torch.randn(2, 3, dtype=torch.float64)
    data = Gaussian(mean, torch.tensor(0.0))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    out = sample(exact_eps(data, SCHEDULE), SCHEDULE, x, (T, 0))
    torch.testing.assert_close(out, mean.expand(5, 2, 3), rtol=1e-9, atol=1e-9)
    low, high = torch.tensor([17] * 5), torch.tensor([T] * 5)
    halfway = sample(exact_eps(data, SCHEDULE), SCHEDULE, x, (T, 500, 17))
    torch.testing.assert_close(halfway, flow(data, SCHEDULE, x, high, low), rtol=1e-9, atol=1e-9)


def gaussian_errors(run):
    """Return the largest error of a run against the exact flow at 125, 250, 500 and 1000 steps."""
    data = Gaussian(torch.tensor([0.4, -1.0], dtype=torch.float64), torch.tensor([0.7, 1.3]))
    return [run(data, times(SCHEDULE, n, "trailing", final="zero")) for n in (125, 250, 500, 1000)]


def test_sampling_converges_to_the_flow():
    """DDIM Eq. 12, DDIM Eq. 14: the error halves as the steps double (first order)."""
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def error(data, visited):
        top, zero = torch.tensor([visited[0]] * 3), torch.zeros(3, dtype=torch.int64)
        out = sample(exact_eps(data, SCHEDULE), SCHEDULE, x, visited)
        return (out - flow(data, SCHEDULE, x, top, zero)).abs().max().item()

    errors = gaussian_errors(error)
    assert errors[-1] < 0.01
    for coarse, fine in pairwise(errors):
        assert 1.7 < coarse / fine < 2.3


@pytest.mark.parametrize("inversion", [invert, invert_official])
def test_inversion_converges_to_the_flow(inversion):
    """Smooth Eq. 4: both forms follow the exact flow up, with a first-order error."""
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 0.4

    def error(data, visited):
        top, zero = torch.tensor([visited[0]] * 3), torch.zeros(3, dtype=torch.int64)
        out = inversion(exact_eps(data, SCHEDULE), SCHEDULE, x, visited)
        return (out - flow(data, SCHEDULE, x, zero, top)).abs().max().item()

    errors = gaussian_errors(error)
    assert errors[-1] < 0.01
    assert all(coarse / fine > 1.4 for coarse, fine in pairwise(errors))


def network(x, t):
    """Return a smooth nonlinear ε that depends on x and t."""
    phase = (t.to(x) / T).reshape(-1, 1)
    return torch.sin(x + phase) + 0.3 * torch.roll(x, 1, dims=1) * (1 - phase)


@pytest.mark.parametrize("final", ["first", "zero"])
def test_round_trip(final):
    """Smooth Eq. 4 then Smooth Eq. 3: close for the plain inversion, exact in the limit of its
    fixed-point iteration.
    """
    x = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    visited = times(SCHEDULE, 100, final=final)

    def miss(refine):
        return (
            sample(network, SCHEDULE, invert(network, SCHEDULE, x, visited, refine), visited) - x
        ).norm() / x.norm()

    plain, once, limit = miss(0), miss(1), miss(60)
    assert once < plain < 0.2
    assert limit < 1e-10


def test_inversion_asks_at_the_published_times():
    """Smooth Eq. 4: ε_θ(x_t, t) at the lower time, never at 0; the released code at the upper."""
    asked = []

    def watched(x, t):
        asked.append(t.tolist())
        return torch.zeros_like(x)

    x = torch.zeros(2, 3)
    invert(watched, SCHEDULE, x, (40, 20, 0))
    assert asked == [[1, 1], [20, 20]]
    asked.clear()
    invert_official(watched, SCHEDULE, x, (40, 20, 0))
    assert asked == [[20, 20], [40, 40]]


def test_official_inversion_is_exact_where_eps_depends_on_time_alone():
    """Smooth Eq. 4 with the upper time: then up and down use the same ε."""

    def predict(x, t):
        return torch.cos(t.to(x)).reshape(-1, 1).expand_as(x)

    x = torch.randn(2, 5, dtype=torch.float64)
    visited = times(SCHEDULE, 23)
    up = invert_official(predict, SCHEDULE, x, visited)
    torch.testing.assert_close(sample(predict, SCHEDULE, up, visited), x, rtol=1e-10, atol=1e-10)


def test_sampling_noise_comes_from_the_generator_and_steps_are_reported():
    """DDIM Eq. 12, DDIM Eq. 16: same seed, same sample; η = 0, the default, draws nothing."""
    x = torch.randn(2, 7)
    visited, seen = times(SCHEDULE, 5), []

    def run(eta, seed):
        generator = torch.Generator().manual_seed(seed)
        out = sample(network, SCHEDULE, x, visited, eta, generator, lambda t, x: seen.append(t))
        return out, generator.get_state()

    assert torch.equal(run(1.0, 0)[0], run(1.0, 0)[0])
    assert not torch.equal(run(1.0, 0)[0], run(1.0, 1)[0])
    assert torch.equal(run(0.0, 3)[1], torch.Generator().manual_seed(3).get_state())
    assert seen[:5] == list(visited[1:])
    assert torch.equal(sample(network, SCHEDULE, x, visited), run(0.0, 3)[0])


@pytest.mark.parametrize("inversion", [invert, invert_official])
def test_inversions_report_where_they_are(inversion):
    """Smooth Eq. 4: every time above the first, with x there; the last is what is returned."""
    seen = []
    x = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    up = inversion(network, SCHEDULE, x, (400, 200, 0), on_step=lambda t, x: seen.append((t, x)))
    assert [t for t, _ in seen] == [200, 400]
    half = inversion(network, SCHEDULE, x, (200, 0))
    assert torch.equal(seen[0][1], half) and torch.equal(seen[1][1], up)


def test_a_step_takes_an_eps_that_does_not_belong_to_x_0():
    """DDIM Eq. 12: √ᾱ_{t-1} x̂_0 + √(1-ᾱ_{t-1}) ε of any two; without η there is no noise."""
    x_0, eps = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    at, prev = torch.tensor([500] * 3), torch.tensor([321] * 3)
    found = step_from_x_0(SCHEDULE, x_0, eps, at, prev)
    torch.testing.assert_close(found, q_sample(SCHEDULE, x_0, prev, eps), rtol=1e-12, atol=1e-12)


def test_state_keeps_its_precision():
    """The state's dtype is the caller's, coefficients are computed in float32 or better."""
    x = torch.randn(2, 7, dtype=torch.bfloat16)
    assert sample(network, SCHEDULE, x, times(SCHEDULE, 3)).dtype == torch.bfloat16


def test_round_trip_of_a_linear_network_is_exact_where_each_step_is_solved():
    """Smooth Eq. 3, Smooth Eq. 4: with ε = k x every step down is a factor; refined inversion is
    the division by all of them, to 1e-10, and the way back undoes it.
    """
    visited, slope = times(SCHEDULE, 23), 0.31

    def predict(x, t):
        return slope * x

    x = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    bar = SCHEDULE.alpha_bar[list(visited)]
    spread = (1 / bar - 1).sqrt()
    factors = (bar[1:] / bar[:-1]).sqrt() + bar[1:].sqrt() * (spread[1:] - spread[:-1]) * slope
    up = invert(predict, SCHEDULE, x, visited, refine=80)
    torch.testing.assert_close(up, x / factors.prod(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sample(predict, SCHEDULE, up, visited), x, rtol=0, atol=1e-10)
