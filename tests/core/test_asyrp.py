"""Asyrp: the asymmetric step and its phases, Theorem 1, losses, scales and intervals."""

import math

import numpy as np
import pytest
import torch

from latentgeo.core import asyrp, ddim
from latentgeo.core.schedule import cosine, linear, scaled_linear

SCHEDULE, T = linear(), 1000


def drawn(count=5, shape=(3, 7)):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 2, *shape, generator=generator, dtype=torch.float64)


def at(*times):
    return torch.tensor(times)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_predicted_and_towards_are_a_ddim_step(eta):
    """Asyrp Eq. 3: √α_{t-1} P_t + D_t + σ_t z is the step, and x_t is what P_t and ε explain."""
    x_t, eps, z, *_ = drawn()
    t, t_prev = at(700, 1), at(651, 0)
    P = asyrp.predicted(SCHEDULE, x_t, eps, t)
    bar, bar_prev = SCHEDULE.bar(t, x_t), SCHEDULE.bar(t_prev, x_t)
    torch.testing.assert_close(bar.sqrt() * P + (1 - bar).sqrt() * eps, x_t)
    D = asyrp.towards(SCHEDULE, eps, t, t_prev, eta)
    found = bar_prev.sqrt() * P + D + ddim.sigma(SCHEDULE, x_t, t, t_prev, eta) * z
    wanted = ddim.step(SCHEDULE, x_t, eps, t, t_prev, eta, z)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-7)  # σ² is all of 1-ᾱ at t = 1
    assert torch.equal(asyrp.towards(SCHEDULE, eps, t, t_prev), D) == (eta == 0)
    both = (asyrp.towards(SCHEDULE, torch.ones_like(eps), at(700), at(651), eta)) ** 2
    both = both + ddim.sigma(SCHEDULE, x_t, at(700), at(651), eta) ** 2
    torch.testing.assert_close(both, (1 - SCHEDULE.bar(at(651), x_t)).expand_as(both))


def test_what_is_0_but_for_rounding_has_a_root():
    """Asyrp Eq. 3, Asyrp Eq. 16: in float32, whatever the two times are."""
    schedule = cosine()
    late, early = torch.meshgrid(torch.arange(1, 1001, 3), torch.arange(0, 1000, 7), indexing="ij")
    t, t_prev = late[late > early], early[late > early]
    one = torch.ones(len(t), 1)
    D = asyrp.towards(schedule, one, t, t_prev, 1.0)
    exact = asyrp.towards(schedule, one.double(), t, t_prev, 1.0)
    torch.testing.assert_close(D, exact.float(), rtol=0, atol=1e-3)
    whole = asyrp.symmetric_shift(schedule, one, t, t_prev)
    exact = asyrp.symmetric_shift(schedule, one.double(), t, t_prev)
    torch.testing.assert_close(whole, exact.float(), rtol=2e-3, atol=1e-4)


def test_the_shift_enters_the_predicted_image_alone():
    """Asyrp Eq. 5, Asyrp Eq. 6, Asyrp Eq. 8: x_{t-1} moves by √α_{t-1} (P_t(ε̃) - P_t(ε)) alone."""
    x_t, eps, shifted, z, _ = drawn()
    t, t_prev = at(900, 33), at(870, 5)
    plain, edited = (
        asyrp.asymmetric_step(SCHEDULE, x_t, e, eps, t, t_prev, 0.7, z) for e in (eps, shifted)
    )
    assert torch.equal(plain, ddim.step(SCHEDULE, x_t, eps, t, t_prev, 0.7, z))
    quiet = asyrp.asymmetric_step(SCHEDULE, x_t, eps, eps, t, t_prev)
    assert torch.equal(quiet, ddim.step(SCHEDULE, x_t, eps, t, t_prev))  # no η, no noise
    P, P_edit = (asyrp.predicted(SCHEDULE, x_t, e, t) for e in (eps, shifted))
    torch.testing.assert_close(
        edited - plain, SCHEDULE.bar(t_prev, x_t).sqrt() * (P_edit - P), rtol=1e-9, atol=1e-9
    )


def test_every_sample_is_in_its_own_phase():
    """Asyrp Eq. 9: at t_edit itself the edit still acts, at t_boost there is no noise yet."""
    generator = torch.Generator().manual_seed(1)
    x_t, eps, shifted, z = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    t, t_prev = at(600, 500, 499, 200, 199), at(580, 480, 479, 180, 179)
    now = asyrp.phases(t, at(*[500] * 5), at(*[200] * 5))
    found = asyrp.edit_step(SCHEDULE, x_t, shifted, eps, t, t_prev, now, z)
    edited = asyrp.asymmetric_step(SCHEDULE, x_t, shifted, eps, t, t_prev)
    plain = ddim.step(SCHEDULE, x_t, eps, t, t_prev)
    boosted = ddim.step(SCHEDULE, x_t, eps, t, t_prev, 1.0, z)
    wanted = torch.stack([edited[0], edited[1], plain[2], plain[3], boosted[4]])
    assert torch.equal(found, wanted)


def printed_eq_9(x_t, shifted, eps, bars, t, t_prev, t_edit, t_boost, z):
    """Asyrp Alg. 1, lines 13 to 30: the first `if` that holds, in plain numbers."""
    a, b = bars[t], bars[t_prev]
    used, sigma = eps, torch.zeros(())
    if t >= t_edit:
        used = shifted
    elif not t >= t_boost:
        sigma = ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
    P = (x_t - (1 - a).sqrt() * used) / a.sqrt()
    return b.sqrt() * P + (1 - b - sigma**2).sqrt() * eps + sigma * z


@pytest.mark.parametrize("t", [600, 450, 250])
def test_where_the_intervals_overlap_the_print_edits_without_noise(t):
    """Asyrp Eq. 9: at t_edit = 300 ≤ t < 500 = t_boost the three rules differ by more than 0.5."""
    x_t, shifted, eps, z, _ = drawn()
    ends, times = (300, 500), (at(t, t), at(t - 25, t - 25))
    wanted = printed_eq_9(x_t, shifted, eps, SCHEDULE.alpha_bar, t, t - 25, *ends, z)
    found = {}
    for rule in ("printed", "released", "boosted"):
        now = asyrp.phases(times[0], at(*[ends[0]] * 2), at(*[ends[1]] * 2), rule)
        found[rule] = asyrp.edit_step(SCHEDULE, x_t, shifted, eps, *times, now, z)
    torch.testing.assert_close(found["printed"], wanted, rtol=1e-9, atol=1e-9)
    overlaps = ends[0] <= t < ends[1]
    for one, other in (("printed", "released"), ("released", "boosted"), ("boosted", "printed")):
        apart = (found[one] - found[other]).abs().max()
        assert apart > 0.5 if overlaps else apart == 0
    P = asyrp.predicted(SCHEDULE, x_t, shifted, times[0])
    noisy = ddim.step_from_x_0(SCHEDULE, P, eps, *times, 1.0, z)
    used = noisy if t < ends[1] and t >= ends[0] else wanted
    torch.testing.assert_close(found["released"], used, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="overlap: got 'none', wanted printed"):
        asyrp.phases(times[0], times[0], times[0], "none")


@pytest.mark.parametrize("stride", [1, 25])
def test_what_a_shift_does_to_a_step(stride):
    """Asyrp Eq. 10, Asyrp Eq. 11, Asyrp Eq. 12, Asyrp Eq. 13, Asyrp Eq. 16: the slopes of DDIM's
    step in ε, P's and D's.
    """
    x_t, eps, delta, *_ = drawn()
    t, t_prev = at(976, 51), at(976 - stride, 51 - stride)
    symmetric = ddim.step(SCHEDULE, x_t, eps + delta, t, t_prev)
    plain = ddim.step(SCHEDULE, x_t, eps, t, t_prev)
    asymmetric = asyrp.asymmetric_step(SCHEDULE, x_t, eps + delta, eps, t, t_prev)
    factors = asyrp.shift(SCHEDULE, x_t, t, t_prev)
    torch.testing.assert_close(asymmetric - plain, factors.in_P * delta, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(symmetric - asymmetric, factors.in_D * delta, rtol=1e-8, atol=1e-10)
    found = asyrp.symmetric_shift(SCHEDULE, x_t, t, t_prev)
    torch.testing.assert_close(symmetric - plain, found * delta, rtol=1e-8, atol=1e-10)


def test_steps_of_the_proof_are_equal():
    """Asyrp Eq. 14, Asyrp Eq. 15: at every t of the chain, from the products of 1 - β alone."""
    like = torch.zeros(T - 1, 1, dtype=torch.float64)
    t = torch.arange(2, T + 1)
    beta = SCHEDULE.beta[2 : T + 1].unsqueeze(1)
    before = torch.cumprod(1 - SCHEDULE.beta[1:], 0)[: T - 1].unsqueeze(1)  # Π_{s<t} (1 - β_s)
    through_P = -(1 - before * (1 - beta)).sqrt() / (1 - beta).sqrt()
    through_D = ((1 - before) * (1 - beta)).sqrt() / (1 - beta).sqrt()
    found = asyrp.symmetric_shift(SCHEDULE, like, t, t - 1)
    torch.testing.assert_close(found, through_P + through_D, rtol=1e-8, atol=1e-12)
    factors = asyrp.shift(SCHEDULE, like, t, t - 1)
    torch.testing.assert_close(factors.in_P, through_P, rtol=1e-10, atol=0)
    torch.testing.assert_close(factors.in_D, through_D, rtol=1e-8, atol=0)


def test_when_the_symmetric_shift_is_negligible():
    """Asyrp Thm. 1: its ratio to P's shift is 1 - √(1 - β_t/(1-α_t)), small for β_t ≪ 1-α_t."""
    like = torch.zeros(1, 1, dtype=torch.float64)

    def ratio(t, t_prev):
        whole = asyrp.symmetric_shift(SCHEDULE, like, at(t), at(t_prev))
        return (whole / asyrp.shift(SCHEDULE, like, at(t), at(t_prev)).in_P).item()

    for t, t_prev in ((1000, 999), (300, 299), (1000, 975), (50, 25)):
        bar, bar_prev = SCHEDULE.alpha_bar[t].item(), SCHEDULE.alpha_bar[t_prev].item()
        beta = 1 - bar / bar_prev
        assert ratio(t, t_prev) == pytest.approx(1 - math.sqrt(1 - beta / (1 - bar)), rel=1e-9)
    assert abs(ratio(1000, 999) - 0.02 / 2) < 1e-4  # nearly β_T / 2
    assert ratio(1, 0) == pytest.approx(1)  # whatever β_max is
    assert ratio(1000, 975) > 0.2  # 40 steps in all: no longer small


def test_directional_similarity_is_a_cosine():
    """Asyrp Eq. 4, Asyrp Eq. 17: of differences, not of embeddings, of any length."""
    text, text_edit = torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 2, 0])
    image = torch.tensor([[5.0, 5, 5], [0, 0, 9]])
    along = image + torch.tensor([[0.0, 3, 0], [0, -1, 0]])
    aslant = image + torch.tensor([[0.0, 1, 1], [7, 0, 7]])
    pairs = ((along, [1.0, -1.0]), (aslant, [2**-0.5, 0.0]))
    for edited, wanted in pairs:
        found = asyrp.directional_similarity(image, edited, text, text_edit)
        torch.testing.assert_close(found, torch.tensor(wanted))
        loss = asyrp.directional_loss(image, edited, text, text_edit)
        torch.testing.assert_close(loss, 1 - torch.tensor(wanted))
    one = asyrp.directional_similarity(image[0], aslant[0], text, text_edit)
    torch.testing.assert_close(one, torch.tensor(2**-0.5))


def test_training_loss_weighs_both_terms():
    """Asyrp Eq. 7, Asyrp Sec. J.1: an offset of 0.5 in half of the pixels is |·| = 0.25."""
    P = drawn()[:2].float().reshape(2, 2, 3, 7)[..., :6]
    P_edit = P.clone()
    P_edit[1, ..., :3] -= 0.5
    direction = torch.tensor([0.2, 1.0])
    found = asyrp.training_loss(direction, P_edit, P, 0.8, asyrp.recon_weight(0.9))
    torch.testing.assert_close(found, torch.tensor([0.16, 0.8 + 2.7 * 0.25]))


def test_the_sum_of_shifts_does_not_depend_on_the_steps():
    """Asyrp Sec. 3.4, Asyrp Sec. F: learned with 40 steps, used with 8 or 1000; attributes add."""
    a, b = drawn()[:2]
    for used in (8, 40, 1000):
        total = sum(asyrp.scaled([a, b], [1.5, -2.0], 40, used) for _ in range(used))
        torch.testing.assert_close(total, 40 * (1.5 * a - 2 * b), rtol=1e-9, atol=1e-9)
    alone = asyrp.scaled([a], [1.5], 40, 8)
    torch.testing.assert_close(alone, 5 * 1.5 * a, rtol=1e-12, atol=0)


def test_mean_and_global_directions():
    """Asyrp Sec. 5.3a: Δh^mean_t averages samples at each t, Δh^global those over t."""
    deltas = drawn(shape=(4,)).reshape(5, 2, 4)
    mean = asyrp.mean_delta(deltas)
    torch.testing.assert_close(mean[1], sum(deltas[i, 1] for i in range(5)) / 5)
    torch.testing.assert_close(asyrp.global_delta(mean), (mean[0] + mean[1]) / 2)


def test_editing_strength_grows_downwards():
    """Asyrp Sec. 4.1: 0 at T, LPIPS(x, P_T) where P_t is x."""
    found = asyrp.editing_strength(torch.tensor([0.7, 0.5, 0.55, 0.0]))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.2, 0.15, 0.7]))


def test_t_edit_is_where_the_prediction_is_close_enough():
    """Asyrp Sec. 4.1: texts farther apart edit longer; where distances rise, both rules are one
    time apart, and the line between their two distances has the threshold between these times.
    """
    times, distance = [0, 100, 200, 300, 400], [0.01, 0.02, 0.2, 0.3, 0.5]
    assert asyrp.edit_threshold(0) == 0.33 and asyrp.edit_threshold(0.4) == pytest.approx(0.198)
    for apart, first in ((0, 400), (0.2, 300), (0.4, 200)):
        threshold = asyrp.edit_threshold(apart)
        assert asyrp.t_edit(times, distance, threshold) == first
        assert asyrp.t_edit_shortest(times, distance, threshold) == first - 100
        between = np.interp(threshold, distance, times)
        assert first - 100 < between < first
    for rule in (asyrp.t_edit, asyrp.t_edit_shortest):
        assert rule(times, distance, 0.3) == 300  # just as close as asked
        assert rule(times, distance, 0.005) == 0 and rule(times, distance, 1) == 400


def test_the_shortest_interval_is_none_of_the_first_crossing():
    """Asyrp Sec. 4.1: of all [T, t] with an editing strength ξ_t that is enough, the shortest."""
    times, distance, threshold = [100, 200, 300, 400, 500], [0.1, 0.35, 0.2, 0.25, 0.5], 0.33
    strength = asyrp.editing_strength(torch.tensor(distance[::-1], dtype=torch.float64)).flip(0)
    enough = [t for t, xi in zip(times, strength, strict=True) if xi >= distance[-1] - threshold]
    assert asyrp.t_edit_shortest(times, distance, threshold) == max(enough) == 400
    assert asyrp.t_edit(times, distance, threshold) == 200  # as released


def test_t_boost_is_the_first_with_enough_noise():
    """Asyrp Sec. 4.2: γ_t reaches 1.2; where it never does, the last time there is."""
    times = [0, 50, 100, 150]
    assert asyrp.t_boost(times, [0, 0.9, 1.25, 1.1]) == 100
    assert asyrp.t_boost(times, [0, 0.3, 0.4, 0.5]) == 150
    assert asyrp.t_boost(times, [0, 0.3, 0.4, 0.5], 0.3) == 50
    for bad in ([0, 100, 50, 150], [0, 50, 100]):
        with pytest.raises(ValueError, match="wanted as many, rising"):
            asyrp.t_boost(bad, [0, 1, 2, 3])


def test_other_schedules_have_the_same_algebra():
    """Asyrp Eq. 16, on Stable Diffusion's schedule: the slope of the whole step in ε."""
    schedule, (x_t, eps, delta, *_) = scaled_linear(), drawn()
    t, t_prev = at(500, 20), at(480, 0)
    moved = ddim.step(schedule, x_t, eps + delta, t, t_prev) - ddim.step(
        schedule, x_t, eps, t, t_prev
    )
    found = asyrp.symmetric_shift(schedule, x_t, t, t_prev)
    torch.testing.assert_close(moved, found * delta, rtol=1e-8, atol=1e-10)
