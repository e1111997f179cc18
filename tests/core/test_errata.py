"""Errata of the papers: what is printed is wrong, and how; what is here is right."""

import math

import pytest
import torch

from latentgeo.core import asyrp, ddim
from latentgeo.core import schedule as schedules
from latentgeo.core.conditioning import condition_number
from latentgeo.core.ddpm import forward_step, q_sample
from latentgeo.core.interpolate import sweep
from latentgeo.core.isometry import traces
from latentgeo.eval.audit.errors import differs

SCHEDULE = schedules.linear(1000)
SHORT = schedules.linear(11, 0.01, 0.3)


def drawn(*shape, count):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def printed_step(x, eps, a, a_to):
    """Smooth Eq. 3 and Smooth Eq. 4 with a number in the place of each printed α."""
    slope = (1 / a_to - 1) ** 0.5 - (1 / a - 1) ** 0.5
    return (a_to / a) ** 0.5 * x + a_to**0.5 * slope * eps


@pytest.mark.parametrize(("t", "to"), [(700, 699), (699, 700)])
def test_alpha_of_a_ddim_step_is_its_running_product(t, to):
    """Smooth Eq. 3, Smooth Eq. 4, Smooth Err. 2

    With α_t = 1 - β_t a step leaves the line of x_0 and ε.
    """
    x_0, eps = drawn(3, 7, count=2)
    x, wanted = (q_sample(SCHEDULE, x_0, torch.full((3,), i), eps) for i in (t, to))
    alpha, bar = 1 - SCHEDULE.beta, SCHEDULE.alpha_bar
    move = ddim.step if to < t else ddim.invert_step
    found = move(SCHEDULE, x, eps, torch.full((3,), t), torch.full((3,), to))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(printed_step(x, eps, bar[t], bar[to]), wanted)
    printed = printed_step(x, eps, alpha[t], alpha[to])
    assert (printed - wanted).norm() > 0.9 * (x - wanted).norm()  # hardly a step at all


def test_noise_of_one_step_is_not_that_of_all():
    """Smooth Eq. 2, Smooth Err. 1

    Were ε_t the ε of both lines, x_t would have more noise than √(1-ᾱ_t).
    """
    x, eps = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    for t in range(1, 12):
        x = forward_step(SHORT, x, torch.tensor([t]), eps)
        level = (1 - SHORT.alpha_bar[t]).sqrt()
        assert x.item() == pytest.approx(level.item()) if t == 1 else x.item() > 1.3 * level
    assert SHORT.alpha_bar[5] > 2 * SHORT.alpha_bar[11]  # nor does the product run to T at every t


def test_eleven_images_are_the_nine_and_both_ends():
    """SmoothS Sec. A.3, SmoothS Err. 1: ratios 0 to 1 by tenths; Sec. 4.1 of the paper counts 0.1
    to 0.9.
    """
    a, b = drawn(7, count=2)
    walk = sweep(a[None], b[None], 11)
    assert len(walk) - 2 == 9 and len(walk) - 1 == 10
    torch.testing.assert_close(walk[0].flatten(), a)
    torch.testing.assert_close(walk[-1].flatten(), b)


@pytest.mark.parametrize(("mse", "decibel"), [(0.1756, 13.97), (0.0148, 25.98)])
def test_table_2_has_pixels_from_minus_one_to_one(mse, decibel):
    """Smooth Tab. 2, Smooth Err. 6: its MSE and PSNR agree within 2 dB if 1 in [0, 1] is 4, else
    by no less.
    """
    assert abs(10 * math.log10(4 / mse) - decibel) < 2
    assert abs(10 * math.log10(1 / mse) - decibel) > 5


def test_printed_inversion_does_not_invert():
    """Asyrp Alg. 1, Asyrp Alg. 2, Asyrp Err. 2: x_{s+1} = √α_s x_s + √(1-α_s) ε leaves the line of
    x_0 and ε.
    """
    x_0, eps = drawn(3, 7, count=2)
    t, up = 401, 426
    now, after = torch.full((3,), t), torch.full((3,), up)
    x, wanted = q_sample(SCHEDULE, x_0, now, eps), q_sample(SCHEDULE, x_0, after, eps)
    bar, bar_up = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[up]
    ours = ddim.invert_step(SCHEDULE, x, eps, now, after)
    torch.testing.assert_close(ours, wanted, rtol=1e-11, atol=1e-11)
    P = asyrp.predicted(SCHEDULE, x, eps, now)
    torch.testing.assert_close(bar_up.sqrt() * P + (1 - bar_up).sqrt() * eps, wanted)
    printed = bar.sqrt() * x + (1 - bar).sqrt() * eps
    assert (printed - wanted).norm() > 3 * (x - wanted).norm()


def test_betas_of_the_proof_are_not_ddpms():
    """Asyrp Thm. 1, Asyrp Err. 3: β_max = 0.001 and β_min = 1e-5 beside 0.02 and 1e-4."""
    assert differs(0.001, SCHEDULE.beta[-1]) == pytest.approx(0.95)
    assert differs(1e-5, SCHEDULE.beta[1]) == pytest.approx(0.9)


def test_weight_of_frida_kahlo_has_lost_a_star():
    """Asyrp Tab. 3, Asyrp Err. 4: 0.4433 is 0.443*3, as in the other rows."""
    assert asyrp.recon_weight(0.443) == pytest.approx(1.329)


def test_transposed_product_is_a_square_for_a_symmetric_map_alone():
    """Iso Eq. 6, Iso Err. 2: vᵀRᵀRv is vᵀR²v where G is a multiple of I; with another G it is
    not.
    """
    (J,) = drawn(5, 3, count=1)
    for G, equal in ((torch.eye(3) * 4, True), (torch.diag(torch.tensor([1.0, 4, 9])), False)):
        R = J.T @ J @ torch.linalg.inv(G.double())
        assert torch.allclose(R.T @ R, R @ R) == equal
        assert ((R.T @ R).trace() == pytest.approx((R @ R).trace().item())) == equal


def test_one_jvp_and_one_vjp_are_enough():
    """Iso Sec. 3.3, Iso Err. 3: the encoder runs twice per probe, once with a graph; G is a
    number.
    """
    calls = []
    turn = drawn(7, 5, count=1)[0]

    def encode(x):
        calls.append(1)
        return (x @ turn).tanh()

    x, probes = drawn(2, 7, count=1)[0], drawn(3, 2, 7, count=3)[2]
    traces(encode, x, probes, graph=False)
    assert len(calls) == 2 * 3
    traces(encode, x, probes)
    assert len(calls) == 2 * 3 + 3
    (J,), v, g = drawn(5, 7, count=1), probes[0, 0], 2.5
    torch.testing.assert_close(v @ J.T @ J @ v / g, (J @ (v / g**0.5)).square().sum())


def test_bytes_of_a_product():
    """Iso Sec. A.2, Iso Err. 4: x_t and h in float32 are 917,504 bytes (printed: 91,750); J is 24
    GiB.
    """
    x, h = (torch.empty(shape, device="meta") for shape in ((3, 256, 256), (512, 8, 8)))
    assert x.nbytes + h.nbytes == 917_504 == 0.875 * 2**20
    assert differs(91_750, x.nbytes + h.nbytes) > 0.8
    assert x.numel() * h.numel() == 6_442_450_944 and x.numel() * h.nbytes == 24 * 2**30


def test_singular_values_are_roots_of_eigenvalues():
    """Iso Eq. 10, Iso Err. 7: σ_i = √λ_i of JᵀJ (printed: λ_i²), whose condition number is the
    fourth root.
    """
    (J,) = drawn(7, 5, count=1)
    eigenvalues = torch.linalg.eigvalsh(J.T @ J).flip(0)
    found = condition_number(torch.linalg.svdvals(J)[None])
    torch.testing.assert_close(condition_number(eigenvalues.sqrt()[None]), found)
    torch.testing.assert_close(condition_number(eigenvalues[None] ** 2), found**4)
    assert found > 1.5
