"""Smooth Diffusion, its supplement and the transport poster as printed, each beside ours."""

import re

import pytest
import torch

from latentgeo.core import ddim, null_text, transport
from latentgeo.core import schedule as schedules
from latentgeo.core.attention_measure import attend
from latentgeo.core.ddpm import q_sample, simple_loss
from latentgeo.core.interpolate import slerp, sweep
from latentgeo.core.smooth import global_ratio, regularizer, step_ratio, unit_direction
from latentgeo.core.variation_routes import variation
from latentgeo.eval.audit.errors import differs
from tests.pages import paper

SCHEDULE = schedules.scaled_linear()
T = torch.tensor


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_printed_noise():
    """Smooth Eq. 2: both lines with one ε, and the product to T at every t."""
    x_0, eps = drawn(2, 3, 7)
    t = torch.full((3,), 400)
    printed = SCHEDULE.alpha_bar[-1].sqrt() * x_0 + (1 - SCHEDULE.alpha_bar[-1]).sqrt() * eps
    assert differs(printed, q_sample(SCHEDULE, x_0, t, eps)) > 0.3


@pytest.mark.parametrize(("t", "to"), [(700, 699), (699, 700)])
def test_printed_steps(t, to):
    """Smooth Eq. 3, Smooth Eq. 4: the lines with α_t = 1 - β_t in the place of ᾱ_t."""
    x, eps = drawn(2, 3, 7)
    now, then = torch.full((3,), t), torch.full((3,), to)
    ours = (ddim.step if to < t else ddim.invert_step)(SCHEDULE, x, eps, now, then)

    def line(a, a_to):
        slope = (1 / a_to - 1).sqrt() - (1 / a - 1).sqrt()
        return (a_to / a).sqrt() * x + a_to.sqrt() * slope * eps

    bar = SCHEDULE.alpha_bar
    torch.testing.assert_close(line(bar[t], bar[to]), ours, rtol=1e-12, atol=1e-12)
    assert differs(line(1 - SCHEDULE.beta[t], 1 - SCHEDULE.beta[to]), ours) > 1e-3


def test_printed_ratios():
    """Smooth Eq. 7, Smooth Eq. 8: ‖Δx̂_0‖ = C ‖Δx_T‖, with C as measured."""
    a, b, u, v = drawn(4, 3, 7)
    ours = (u - v).norm(dim=1)
    assert differs(global_ratio(a, b, u, v) * (a - b).norm(dim=1), ours) < 1e-14
    t, noise = T([400]), 1 - SCHEDULE.alpha_bar[400]
    q = torch.linalg.qr(drawn(7, 7)).Q
    direction = unit_direction(a[:1], torch.Generator().manual_seed(0))
    size = variation(lambda x, t: 0.6 * x @ q.T, SCHEDULE, a[:1], b[:1], t, direction, "x_0")
    moved = 0.6 * noise.sqrt() * (u - v)[:1] @ q.T  # x̂_0 is linear in ε
    printed = step_ratio(SCHEDULE, size, t) * noise.sqrt() * (u - v)[:1].norm()
    assert differs(printed, moved.norm()) < 1e-12


def test_printed_constant():
    """Smooth Eq. 13: C = K/a of t = 400, taken for a constant, is not that of t = 800."""
    at = T([400, 800])
    ours = step_ratio(SCHEDULE, torch.full((2,), 0.3, dtype=torch.float64), at)
    assert differs(ours[:1].expand(2), ours) > 0.4


def test_one_target_penalises_the_exact_denoiser():
    """Smooth Err. 3, Smooth Eq. 9: v(t) = √ᾱ (1-ᾱ) of unit Gaussian data, by autograd, has no a."""
    x_0, eps = drawn(2, 1, 7)
    direction = unit_direction(x_0, torch.Generator().manual_seed(0))

    def exact(x, t):
        return SCHEDULE.alpha_bar[t].sqrt() * x

    third = int((SCHEDULE.alpha_bar - 1 / 3).abs().argmin())
    found = torch.cat(
        [variation(exact, SCHEDULE, x_0, eps, T([t]), direction, "x_0") for t in (third, 1000)]
    )
    wanted = [
        2 / 27**0.5,
        (SCHEDULE.alpha_bar[1000].sqrt() * (1 - SCHEDULE.alpha_bar[1000])).item(),
    ]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
    assert [round(value, 3) for value in wanted] == [0.385, 0.068]
    assert regularizer(found, found.mean()) > 0.02


def test_one_model_has_two_scores_in_print():
    """Smooth Err. 7: of λ = 1 and rank 8 in Tables 1, 3 and 4, as the text has them."""
    rows = re.findall(
        r"^(Smooth Diffusion|1 \(default\)|8 \(default\))\t(.*)$",
        paper("smooth-diffusion"),
        re.MULTILINE,
    )
    cells = [re.findall(r"\d+\.\d+", cells)[:3] for _, cells in rows]
    fid, clip = ({float(row[i]) for row in cells} for i in (1, 2))
    assert len(rows) == 3 and len(fid) == len(clip) == 2
    assert 0 < differs(*fid) < 1e-3 and 0 < differs(*clip) < 2e-3


def test_printed_sum():
    """SmoothS Eq. 2: a sum over n elements is n times their mean."""
    eps, predicted = drawn(2, 5, 3, 7)
    printed = (eps - predicted).square().flatten(1).sum(1).mean()
    assert differs(printed, simple_loss(eps, predicted)) == pytest.approx(3 * 7 - 1)


def test_printed_null_text():
    """SmoothS Eq. 4, SmoothS Eq. 5: steps from x̃_t for x̄_t; the second of two steps differs.

    From x̃_t as printed each step has a goal of its own, and the texts found are others.
    """
    schedule, times = SCHEDULE, (601, 301, 0)
    pivot = drawn(3, 2, 2, 3, 5)
    context, null = drawn(2, 3, 4, seed=1), drawn(1, 3, 4, seed=2)

    def predict(x, t, c):
        return torch.tanh(x + c.mean((1, 2)).reshape(-1, 1, 1, 1))

    ours = [x for _, x in null_text.descend(predict, schedule, pivot, times, context, null, 3.0)]
    second = null_text.descend(predict, schedule, pivot, times, context, null, 3.0, 10, 1, pivot[1])
    (_, printed), *_ = second
    assert differs(printed, ours[1]) > 1e-2


def test_steps_are_equal_for_equal_norms_alone():
    """SmoothS Err. 2, SmoothS Eq. 3: over noises of Stable Diffusion's size steps differ by 2 %.

    The most uneven of 500 pairs, one per prompt of the protocol.
    """
    generator = torch.Generator().manual_seed(0)
    norms = torch.randn(500, 2, 16_384, generator=generator).double().norm(dim=2)
    worst = (norms[:, 0] / norms[:, 1]).log().abs().argmax()
    a, b = torch.linalg.qr(drawn(7, 2)).Q.T * norms[worst][:, None]
    for pair, uneven in (((a, b), True), ((a, b * a.norm() / b.norm()), False)):
        steps = sweep(pair[0][None], pair[1][None], 11).diff(dim=0).flatten(1).norm(dim=1)
        spread = (steps.max() / steps.min() - 1).item()
        assert 0.005 < spread < 0.03 if uneven else spread < 1e-12


def test_printed_slerp():
    """SmoothS Eq. 3: Shoemake's sin((1-η)θ)/sin θ and sin(ηθ)/sin θ, of noises of two norms."""
    a, b = drawn(2, 1, 7)
    angle = torch.arccos((a * b).sum() / a.norm() / b.norm())
    shoemake = (torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)
    assert differs(shoemake, slerp(a, b, 0.3)) > 1e-3
    b = b * a.norm() / b.norm()
    shoemake = (torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)
    torch.testing.assert_close(slerp(a, b, 0.3), shoemake, rtol=1e-12, atol=1e-12)


def test_printed_attention():
    """OT Eq. 1: the softmax of rows, of uniform mass."""
    q, k, v = drawn(3, 5, 3)
    printed = torch.softmax(q @ k.T / 3**0.5, dim=1) @ v
    ours = attend(q, k, v, torch.full((5,), 0.2, dtype=torch.float64))
    assert differs(printed, ours) < 1e-14


def test_printed_rows():
    """OT Sec. 2.1: permuting the columns of K and V, as printed, does change the result."""
    q, k, v = drawn(3, 5, 3)
    mass, order = torch.full((5,), 0.2, dtype=torch.float64), [2, 0, 1]
    assert differs(attend(q, k[:, order], v[:, order], mass), attend(q, k, v, mass)) > 0.1


def test_printed_distance():
    """OT Eq. 2: without the 1/N of the measures it is √N times as long."""
    x, y = drawn(2, 2, 11, 3)
    assert differs(transport.w2_printed(x, y), transport.w2(x, y)) == pytest.approx(11**0.5 - 1)


def test_the_mean_of_steps_falls_with_their_number():
    """OT Err. 3: of one straight walk in 10 and 20 steps the mean is half; divided by ε² (squared
    distances, as StyleGAN has them) it is the same.
    """

    def walk(count):
        return torch.linspace(0, 1, count + 1, dtype=torch.float64)[:, None] * drawn(1, 7)

    means = [walk(n).diff(dim=0).norm(dim=1).mean() for n in (10, 20)]
    assert differs(means[1], means[0]) == pytest.approx(0.5)
    lengths = [(walk(n).diff(dim=0).square().sum(1) * n**2).mean() for n in (10, 20)]
    torch.testing.assert_close(lengths[1], lengths[0], rtol=1e-12, atol=0)
