"""Where the print, the released code and this code are not one: all evaluated, and how far apart.

Each test has the other form written out as a function of its own.
"""

import math

import pytest
import torch

from latentgeo.core import asyrp, ddim
from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import posterior, simple_loss
from latentgeo.core.interpolate import slerp, sweep
from latentgeo.core.isometry import exact_traces, weight
from latentgeo.core.linearize import jacobian
from latentgeo.core.smooth import (
    batch_sums,
    mean_at,
    objective,
    regularizer,
    running_mean,
    update,
)
from latentgeo.core.sphere import (
    onto,
    radius,
    scaled_chart_inverse,
    scaled_metric,
    unit_chart,
    unit_chart_inverse,
)

SCHEDULE = schedules.linear()


def drawn(*shape, count=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def test_losses_are_means_where_print_has_sums():
    """SmoothS Eq. 2, Asyrp Eq. 7: n times larger as printed, so the printed λ = 1 is 1/n here."""
    eps, predicted, P = drawn(3, 2, 5, 7, count=3)
    n = eps[0].numel()
    printed = (eps - predicted).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(printed, n * simple_loss(eps, predicted))
    reg = torch.tensor(0.3, dtype=torch.float64)
    ours = objective(simple_loss(eps, predicted), reg, 1 / n)
    torch.testing.assert_close(printed + reg, n * ours)
    direction = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    printed = 0.8 * direction + 2.7 * (P - eps).abs().sum((1, 2, 3))
    torch.testing.assert_close(printed, asyrp.training_loss(direction, P, eps, 0.8, n * 2.7))


def shoemake(a, b, w):
    """SmoothS Eq. 3: sin((1-η)θ)/sin θ a + sin(ηθ)/sin θ b, as released, for any two lengths."""
    angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / torch.sin(angle)


def unevenness(path, a, b):
    """The longest of ten steps over the shortest, less 1."""
    steps = sweep(a[None], b[None], 11, path).diff(dim=0).flatten(1).norm(dim=1)
    return (steps.max() / steps.min() - 1).item()


def test_slerp_of_unequal_noises_is_not_shoemakes_nor_has_either_equal_steps():
    """SmoothS Eq. 3: of 100 pairs of Stable Diffusion's size, n = 16,384, whose lengths scatter by
    0.55 %: at most 0.9 % apart, and steps uneven by 1.9 % at most (Shoemake's by 2.0 %).
    """
    pairs = drawn(2, 4 * 64 * 64, count=100)
    apart = max((shoemake(a, b, 0.3) - slerp(a[None], b[None], 0.3)[0]).norm() / a.norm()
                for a, b in pairs)  # fmt: skip
    assert 0.005 < apart < 0.01
    ours = max(unevenness(slerp, a, b) for a, b in pairs)
    printed = max(unevenness(lambda a, b, w: shoemake(a[0], b[0], w)[None], a, b) for a, b in pairs)
    assert 0.015 < ours < 0.02 and ours < printed < 0.025
    a, b = pairs[0]
    b = b * a.norm() / b.norm()  # of one length they are one, and even
    torch.testing.assert_close(shoemake(a, b, 0.3), slerp(a[None], b[None], 0.3)[0])
    assert unevenness(slerp, a, b) < 1e-9


def test_points_are_one_more_than_steps():
    """Asyrp Alg. 1: S_for points of print are S_for - 1 steps; its factor S_for/S_gen does not keep
    the sum of the shifts, by 2.5 % at 40 and 1000, as one of steps does.
    """
    one = torch.ones(1, dtype=torch.float64)
    learned, used = 40, 1000  # points, from 0 to T
    printed = [learned / used * one for _ in range(used - 1)]
    ours = [asyrp.scaled([one], [1.0], learned - 1, used - 1) for _ in range(used - 1)]
    assert sum(ours).item() == pytest.approx(learned - 1)
    assert (sum(printed) / sum(ours)).item() == pytest.approx(1.0246, abs=1e-4)


def test_released_attributes_share_one_over_root_m():
    """Asyrp Alg. 1: the released sum of M attributes is divided by √M, which print is not."""
    deltas, scales = list(drawn(2, 3, count=4)), [1.0, -0.5, 2.0, 0.3]
    released = 40 / 50 * sum(c * d for c, d in zip(scales, deltas, strict=True)) / 4**0.5
    halved = asyrp.scaled(deltas, [c / 2 for c in scales], 40, 50)
    torch.testing.assert_close(halved, released)
    torch.testing.assert_close(asyrp.scaled(deltas, scales, 40, 50), 2 * released)


def test_one_percent_of_the_batch_in_as_gradient():
    """Smooth Eq. 9: released, a = a' + 0.01 (mean v - a') is differentiated too; that is 0.01
    |mean(v - a)| √B / ‖v - a‖ of the gradient, at most 1 %, here 0.3 %.
    """
    v = drawn(12, seed=3)[0].exp().requires_grad_()
    before = v.detach().mean() - 0.35 * v.detach().std()
    a = before + 0.01 * (v.mean() - before)
    (released,) = torch.autograd.grad((v - a).square().mean(), v)
    (ours,) = torch.autograd.grad(regularizer(v, a), v)
    share = ((released - ours).norm() / ours.norm()).item()
    away = (v - a).detach()
    assert share == pytest.approx(0.01 * abs(away.mean().item()) * 12**0.5 / away.norm().item())
    assert 0.002 < share < 0.004


def test_as_mean_moves_once_a_step_and_not_per_part():
    """Smooth Eq. 9: of 8 parts of one step the released a comes 7.7 % of the way, ours 1 %."""
    v, t = torch.full((96,), 2.0, dtype=torch.float64), torch.full((96,), 500)
    released = torch.tensor(1.0, dtype=torch.float64)
    for part in v.split(12):
        released = released + 0.01 * (part.mean() - released)
    assert released.item() - 1 == pytest.approx(1 - 0.99**8) == pytest.approx(0.0773, abs=1e-4)
    state = running_mean()
    for _ in range(2000):  # a' = 1, its start forgotten
        state = update(state, batch_sums(state, SCHEDULE, torch.ones_like(v), t))
    state = update(state, batch_sums(state, SCHEDULE, v, t))
    assert mean_at(state, SCHEDULE, t[:1]).item() - 1 == pytest.approx(0.01, abs=1e-6)


def test_eta_of_1_is_the_other_variance_of_ddpm():
    """Asyrp Err. 5, Asyrp Eq. 2, Asyrp Eq. 3: print calls η = 1 DDPM, whose σ_t² it has as β_t; it
    is β̃_t, 0 at
    t = 1, 0.45 β_t at t = 2 and a millionth less than β_t at T.
    """
    x = torch.zeros(3, 1, dtype=torch.float64)
    t = torch.tensor([1, 2, 1000])
    found = ddim.sigma(SCHEDULE, x, t, t - 1, 1.0).square().flatten()
    torch.testing.assert_close(found, posterior(SCHEDULE, x, x, t)[1].flatten(), rtol=1e-9, atol=0)
    share = found / SCHEDULE.beta[t]
    assert share[0] == 0 and 0.4 < share[1] < 0.5 and 0 < 1 - share[2] < 1e-6


def test_the_proofs_schedule_is_not_ddpms():
    """Asyrp Err. 3, Asyrp Thm. 1: with its β_max = 0.001 and β_min = 0.00001 of 1,000 steps x_T
    keeps √α_T = 0.78
    of x_0, and a twentieth of DDPM's β_T; DDPM's x_T keeps 0.006.
    """
    proof = schedules.linear(1000, 1e-5, 1e-3)
    assert (proof.beta[1:].diff() > 0).all()  # it falls from β_T to β_1, as printed
    assert proof.alpha_bar[-1].sqrt().item() == pytest.approx(0.7766, abs=1e-3)
    assert SCHEDULE.alpha_bar[-1].sqrt().item() < 0.007
    assert (SCHEDULE.beta[-1] / proof.beta[-1]).item() == pytest.approx(20)


def test_the_difference_of_the_theorem_is_one_step_below():
    """Asyrp Err. 6, Asyrp Eq. 16: Δx_t = x̃_{t-1} - x_{t-1}: both start at one x_t, and the factor
    of t is of
    the difference at t - 1, which √α_{t-1} P and D have at that time.
    """
    x_t, eps, delta = drawn(1, 3, count=3)
    t = torch.tensor([400])
    moved = ddim.step(SCHEDULE, x_t, eps + delta, t, t - 1) - ddim.step(
        SCHEDULE, x_t, eps, t, t - 1
    )
    beta, alpha = SCHEDULE.beta[400], SCHEDULE.alpha_bar[400]
    printed = ((1 - alpha - beta).sqrt() - (1 - alpha).sqrt()) / (1 - beta).sqrt() * delta
    torch.testing.assert_close(moved, printed, rtol=1e-8, atol=1e-12)
    found = asyrp.symmetric_shift(SCHEDULE, x_t, t - 1, t - 2) * delta
    assert (found - moved).norm() > 1e-3 * moved.norm()  # nor is it that of t - 1 to t - 2


def test_lengths_of_noise_vary_by_a_half():
    """Iso Err. 10, Iso Sec. 3.1: Var χ(n) = n - 2 (Γ((n+1)/2) / Γ(n/2))² is ½ for n = 196,608
    (printed: 1).
    """
    n = 3 * 256**2
    variance = {}
    for k in (7, 1001, n):
        mean = math.sqrt(2) * math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2))
        variance[k] = k - mean**2
    assert variance[n] == pytest.approx(0.5, abs=1e-3)
    assert variance[7] == pytest.approx(0.4810, abs=1e-4)  # 7 - 2 (3!/Γ(3.5))²
    r = radius(SCHEDULE, drawn(1001, count=4000)[:, None], torch.full((4000,), 1000))
    error = variance[1001] * (2 / 4000) ** 0.5
    assert abs(r.var().item() - variance[1001]) < 4 * error < 0.1


def curved(turn):
    """An encoder of x (B, 7) to h (B, 5)."""
    return lambda x: (x @ turn).tanh() + 0.3 * (x @ turn).square()


def test_the_jacobian_of_the_chart_is_m_by_n_less_one():
    """Iso Err. 11, Iso Eq. 4: J_f (printed in ℝ^{(n-1) × m}) is m × (n-1), or J_fᵀ H J_f has no
    value.
    """
    turn, z, r = drawn(7, 5)[0], drawn(6, count=2), torch.ones(2, dtype=torch.float64)
    encode = curved(turn)
    J = jacobian(lambda z: encode(scaled_chart_inverse(z, r[: len(z)])), z)
    assert J.shape == (2, 5, 6)
    H = torch.eye(5, dtype=torch.float64)
    assert (J.mT @ H @ J).shape == (2, 6, 6)  # as G
    printed = J.mT
    with pytest.raises(RuntimeError):
        printed.mT @ H @ printed


def test_the_path_of_the_geodesic_has_n_less_one_numbers():
    """Iso Err. 12, Iso Eq. 5: γ (printed to ℝⁿ) goes where G is (n-1) × (n-1); there ∫√(γ̇ᵀGγ̇) is
    the arc.
    """
    a, b = onto(drawn(7, count=2), torch.tensor([3.0, 3.0], dtype=torch.float64))
    w, r = torch.linspace(0, 1, 2001, dtype=torch.float64), torch.full((2001,), 3.0).double()
    arc = slerp(a.expand(2001, -1), b.expand(2001, -1), w)
    gamma = 3.0 * unit_chart(arc, r)
    assert gamma.shape == (2001, 6)
    middle = (gamma[1:] + gamma[:-1]) / 2
    length = (scaled_metric(middle, r[1:]).sqrt() * gamma.diff(dim=0).norm(dim=1)).sum()
    angle = torch.acos((a @ b) / 9)
    assert length.item() == pytest.approx(3 * angle.item(), rel=1e-5)


def test_figure_5_counts_its_steps_from_the_noise():
    """Iso Err. 13, Iso Tab. 1, Iso Eq. 7: of T = 20 steps L_iso is on t > 10; Fig. 5 drops at "t ≤
    10 … where
    the isometric loss is applied", which is so of the steps taken, 21 - t, and of no t of Eq. 7.
    """
    t = torch.arange(1, 21)
    on = weight(t, 20, 0.5, 1.0) > 0
    assert not (on & (t <= 10)).any() and torch.equal(on, 21 - t <= 10)


def released_loss(encode, x, chart_metric):
    """Iso Eq. 6 as released: f in the plane, at points of length √(n-1), with G of r = ‖z‖."""
    n = x.shape[1]
    R = torch.full((len(x),), (n - 1) ** 0.5, dtype=x.dtype)
    z = unit_chart(onto(x, R), R)
    J = torch.stack([
        torch.autograd.functional.jacobian(
            lambda z, i=i: encode(unit_chart_inverse(z[None], R[i : i + 1]))[0], z[i],
            create_graph=True,
        )
        for i in range(len(x))
    ])  # fmt: skip
    metric = J.mT @ J / chart_metric(z)[:, None, None]
    first, second = metric.diagonal(dim1=1, dim2=2).sum(1), metric.square().sum((1, 2))
    return second.mean() / first.mean().square()


def norm_metric(z):
    """The released metric, 4 r⁴ / (‖z‖² + r²)² with r = ‖z‖."""
    return scaled_metric(z, z.norm(dim=1))


def test_the_released_metric_is_the_planes():
    """Iso Eq. 3, Iso Eq. 6: G is 1 at every z, so that the loss and its gradient are those of
    `geometry="plane"` at r = √(n-1); the sphere's loss is 28 % less, its slope 65 %.
    """
    turn, x = drawn(7, 5)[0].requires_grad_(), drawn(7, count=3, seed=1)
    encode = curved(0.3 * turn)
    assert torch.equal(norm_metric(drawn(6, count=5)), torch.ones(5, dtype=torch.float64))
    released = released_loss(encode, x, norm_metric)
    (slope,) = torch.autograd.grad(released, turn)
    place = onto(x, torch.full((3,), 6**0.5, dtype=torch.float64))

    def ours(geometry, turn):
        first, second = exact_traces(curved(0.3 * turn), place, geometry)
        return second.mean() / first.mean().square()

    torch.testing.assert_close(ours("plane", turn.detach()), released.detach(), rtol=1e-9, atol=0)
    away, step = drawn(7, 5, seed=2)[0], 1e-5
    along = {}
    for geometry in ("plane", "sphere"):
        ends = [ours(geometry, turn.detach() + side * step * away) for side in (1, -1)]
        along[geometry] = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close((slope * away).sum(), along["plane"], rtol=1e-6, atol=1e-9)
    assert 1 - (along["sphere"] / along["plane"]).item() == pytest.approx(0.648, abs=1e-3)
    less = 1 - (ours("sphere", turn.detach()) / released.detach()).item()
    assert less == pytest.approx(0.278, abs=1e-3)


def test_the_released_loss_without_a_metric_has_no_gradient():
    """Iso Eq. 6, Iso Tab. 3: its products are taken without create_graph, and the loss is a
    constant.
    """
    turn, x = drawn(7, 5)[0].requires_grad_(), drawn(7, count=3)
    encode = curved(turn)
    _, s = torch.autograd.functional.jvp(encode, x, drawn(7, count=3, seed=1))
    _, y = torch.autograd.functional.vjp(encode, x, s)
    released = y.square().sum(1).mean() / s.square().sum(1).mean().square()
    assert not released.requires_grad
    _, s = torch.autograd.functional.jvp(encode, x, drawn(7, count=3, seed=1), create_graph=True)
    assert s.requires_grad
