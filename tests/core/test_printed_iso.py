"""Isometric Diffusion as printed, each formula beside ours."""

import math
import re

import pytest
import torch

from latentgeo.core import isometry, sphere
from latentgeo.core import schedule as schedules
from latentgeo.core.conditioning import all_values, condition_number
from latentgeo.core.ddpm import q_sample, simple_loss
from latentgeo.core.interpolate import slerp
from latentgeo.core.linearize import hutchinson
from latentgeo.core.parameterization import score_from_eps
from latentgeo.core.path_metrics import path_lengths
from latentgeo.eval.audit.errors import deviates, differs
from tests.pages import paper

SCHEDULE = schedules.linear(1000)
B, N, M = 3, 5, 7


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FIRST, SECOND = drawn(N, M, seed=5), drawn(M, M, seed=6)


def encode(x):
    return torch.tanh(x @ FIRST) @ SECOND


def square(u, v):
    return (u - v).square().sum(1)


def formed(x):
    """Return J_f (m × (n-1)) in the coordinates that are r times Eq. 2's, and the printed G."""
    r = x.norm()
    z = sphere.scaled_chart(x[None], r[None])[0]

    def f(w):
        return encode(sphere.scaled_chart_inverse(w[None], r[None]))[0]

    J = torch.autograd.functional.jacobian(f, z)
    return J, 4 * r**4 / (z.square().sum() + r**2) ** 2 * torch.eye(N - 1, dtype=z.dtype)


def test_printed_schedule():
    """Iso Sec. 3.1b: from β_0 at t = 0 on, one step of the line ahead of DDPM's."""
    start, end, T = 1e-4, 0.02, 1000
    t = torch.arange(1, T + 1, dtype=torch.float64)
    printed = schedules.from_beta(start * (1 - t / T) + end * t / T)
    assert printed.beta[1].item() == pytest.approx(1.199e-4, rel=1e-12)
    assert printed.beta[T] == SCHEDULE.beta[T]
    ahead = (printed.beta - SCHEDULE.beta)[1:]
    torch.testing.assert_close(ahead, (end - start) * (1 / T - (t - 1) / (T * (T - 1))))
    ratio = printed.alpha_bar / SCHEDULE.alpha_bar
    assert 0.0099 < differs(ratio, torch.ones_like(ratio)) < 0.0101


def test_printed_score_matching():
    """Iso Eq. 1: λ(t) = 1-ᾱ_t times the score's squared error, a sum where ours is a mean."""
    x_0, eps, found = drawn(3, B, N)
    t = torch.full((B,), 400)
    x_t = q_sample(SCHEDULE, x_0, t, eps)
    bar = SCHEDULE.alpha_bar[400]
    target = -(x_t - bar.sqrt() * x_0) / (1 - bar)  # ∇ log N(x_t; √ᾱ x_0, (1-ᾱ) I)
    score = score_from_eps(SCHEDULE, x_t, found, t)
    printed = (1 - bar) * (score - target).square().sum(1).mean()
    assert differs(printed / N, simple_loss(eps, found)) < 1e-12
    assert differs(printed, simple_loss(eps, found)) == pytest.approx(N - 1)


def test_printed_radius():
    """Iso Sec. 3.1: √(1-ᾱ_t) E[χ(n)] beside √(n (1-ᾱ_t)), and beside ‖x_t‖ itself, our default."""
    n, t = 3 * 64**2, torch.full((B,), 700)
    x_t = q_sample(SCHEDULE, torch.zeros(B, n).double(), t, drawn(B, n))
    chi = 2**0.5 * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))
    printed = (1 - SCHEDULE.alpha_bar[700]).sqrt().expand(B) * chi
    assert differs(printed, sphere.radius(SCHEDULE, x_t, t, "marginal")) < 1e-4
    assert 1e-4 < differs(printed, sphere.radius(SCHEDULE, x_t, t)) < 0.03


def test_printed_chart():
    """Iso Eq. 2, Iso Eq. 3, Iso Err. 1: the printed metric is that of the chart times r alone."""
    x = drawn(B, N) * 3
    r = x.norm(dim=1)
    z = x[:, :-1] / (r[:, None] - x[:, -1:])
    ends = r[:, None] / (z.square().sum(1, keepdim=True) + 1)
    back = ends * torch.cat([2 * z, z.square().sum(1, keepdim=True) - 1], 1)
    assert differs(back, x) < 1e-14
    assert differs(z, sphere.unit_chart(x, r)) < 1e-14
    printed = 4 * r**4 / (z.square().sum(1) + r**2) ** 2
    assert differs(printed, sphere.unit_metric(z, r)) > 0.5
    assert differs(z, sphere.scaled_chart(x, r)) > 0.5
    torch.testing.assert_close(sphere.scaled_metric(z, r), printed, rtol=1e-14, atol=0)


def test_printed_isometry():
    """Iso Eq. 4: the eigenvalues of J_fᵀ H J_f G⁻¹ in a chart are those of R in a basis."""
    for x in drawn(B, N):
        J, G = formed(x)
        printed = torch.linalg.eigvals(J.T @ J @ torch.linalg.inv(G)).real.sort().values
        ours = torch.linalg.eigvalsh(isometry.pullback(encode, x[None])[0])[1:]
        assert differs(printed, ours) < 1e-10


def test_printed_loss():
    """Iso Eq. 6, Iso Sec. 3.3: of formed R, and by the printed identity's three products."""
    x = drawn(B, N)
    R = []
    for one in x:
        J, G = formed(one)
        R.append(J.T @ J @ torch.linalg.inv(G))
    R = torch.stack(R)
    printed = (R @ R).diagonal(dim1=1, dim2=2).sum(1).mean() / R.diagonal(dim1=1, dim2=2).sum(
        1
    ).mean() ** 2
    first, second = isometry.exact_traces(encode, x)
    assert differs(printed, second.mean() / first.mean() ** 2) < 1e-10
    every = torch.eye(N, dtype=x.dtype)[:, None].expand(-1, B, -1) * N**0.5
    ours = isometry.isometry_loss(isometry.traces(encode, x, every))
    assert differs(printed, ours) < 1e-10


def test_printed_path_length():
    """Iso Sec. 4.1b, Iso Err. 6: by ε as printed it goes to 0 with ε, by ε² it has a limit."""
    a, b = drawn(2, B, N)
    w = torch.tensor([0.1, 0.4, 0.7], dtype=a.dtype)
    for epsilon in (1e-2, 1e-3):
        ours = path_lengths(encode, square, a, b, w, epsilon)
        printed = square(encode(slerp(a, b, w)), encode(slerp(a, b, w + epsilon))) / epsilon
        torch.testing.assert_close(
            path_lengths(encode, square, a, b, w, epsilon, "linear"), printed, rtol=1e-12, atol=0
        )
        assert differs(printed, ours) == pytest.approx(1 - epsilon)
    coarse, fine = (path_lengths(encode, square, a, b, w, e) for e in (1e-2, 1e-3))
    assert ((coarse - fine).abs() < 0.1 * fine).all()


def test_printed_singular_values():
    """Iso Eq. 10: with σ_i = λ_i² as printed the condition number is the fourth power."""
    x = drawn(1, N)
    J = torch.autograd.functional.jacobian(encode, x)[0, :, 0]
    values = torch.linalg.eigvalsh(J.T @ J).flip(0)
    ours = condition_number(all_values(encode, x))
    torch.testing.assert_close(condition_number(values.sqrt()[None]), ours, rtol=1e-9, atol=0)
    assert differs(condition_number(values[None] ** 2), ours) > 1


def test_errors_fall_with_probes():
    """Iso Sec. A.1, Iso Err. 5: the estimate of Tr(A) scatters as 1/√N, and lies about Tr(A)."""
    J = drawn(M, N, seed=5)
    exact, scatter = (J.T @ J).trace(), {}
    x = torch.zeros(4001, N, dtype=torch.float64)
    for count in (1, 16):
        found = hutchinson(lambda x: x @ J.T, x, drawn(count, 4001, N, seed=count)).first.value
        scatter[count] = found.std()
        assert deviates(found.mean(), exact, found.std() / 4001**0.5, 4001) < 4
    ratio = scatter[1] / scatter[16]
    assert deviates(ratio, 4, 4 / 4001**0.5, 4001) < 5


def test_one_model_has_two_lengths_in_print():
    """Iso Err. 8: the PPL beside FID 15.89 in Tables 1 and 3, of the model without the loss."""
    text = paper("isometric-diffusion")
    (first,) = re.findall(r"^CelebA-HQ\t15\.89\t\S+\t(\d+)\t", text, re.MULTILINE)
    (third,) = re.findall(r"^1\t-\t-\t15\.89\t(\d+)", text, re.MULTILINE)
    assert 0 < differs(float(first), float(third)) < 0.01


def test_a_sphere_has_no_flat_picture():
    """Iso Err. 9: by Gauss a sphere's triangle of three right angles has more than 180°.

    In the plane angles add up to π; here the angles of an octant, by its sides' tangents.
    """
    corners = torch.eye(3, dtype=torch.float64)
    total = 0.0
    for i in range(3):
        at, to = corners[i], [corners[(i + 1) % 3], corners[(i + 2) % 3]]
        sides = [side - (side @ at) * at for side in to]
        total += math.acos((sides[0] @ sides[1]) / sides[0].norm() / sides[1].norm())
    assert differs(math.pi, total) == pytest.approx(1 / 3)
