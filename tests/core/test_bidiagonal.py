"""Both ends of a spectrum against the decomposition of the whole Jacobian."""

import pytest
import torch
from torch import nn

from latentgeo.core.bidiagonal import spectrum_ends
from latentgeo.core.linearize import jacobian

B, N = 3, 13


def net(outputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(N, 17), nn.SiLU(), nn.Linear(17, outputs)).double()


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, N, generator=generator, dtype=torch.float64)


def seeded():
    return torch.Generator().manual_seed(2)


@pytest.mark.parametrize("outputs", [7, 13, 19])
def test_all_steps_find_every_value(x, outputs):
    """Wide, square and tall: none of them is the zero of a null space."""
    f, k = net(outputs), min(N, outputs)
    found = spectrum_ends(f, x, k, seeded())
    wanted = torch.linalg.svdvals(jacobian(f, x))
    torch.testing.assert_close(found.values, wanted, rtol=1e-10, atol=1e-12)
    assert (found.residual < 1e-10).all()


@pytest.mark.parametrize("outputs", [11, 19])
def test_few_steps_lie_inside_and_within_their_residuals(x, outputs):
    """The largest is approached from below, the smallest from above."""
    f = net(outputs)
    wanted = torch.linalg.svdvals(jacobian(f, x))
    for steps in (3, 6):
        found = spectrum_ends(f, x, steps, seeded())
        assert (found.values[:, 0] <= wanted[:, 0] * (1 + 1e-12)).all()
        assert (found.values[:, -1] >= wanted[:, -1] * (1 - 1e-12)).all()
        nearest = (found.values[:, :, None] - wanted[:, None]).abs().amin(2)
        assert (nearest <= found.residual + 1e-12).all()
    more, fewer = found, spectrum_ends(f, x, 3, seeded())
    assert (more.values[:, -1] < fewer.values[:, -1]).all()


@pytest.mark.parametrize("outputs", [11, 19])
def test_values_and_residuals_are_those_of_the_krylov_space(x, outputs):
    """Its basis by QR of the powers of JᵀJ (JJᵀ of a wide J) on the start, J itself formed."""
    f, steps = net(outputs), 3
    found = spectrum_ends(f, x, steps, seeded())
    start = torch.randn(1, min(N, outputs), generator=seeded(), dtype=torch.float64)[0]
    for i, J in enumerate(jacobian(f, x)):
        A = J if outputs >= N else J.T
        powers = [torch.linalg.matrix_power(A.T @ A, j) @ start for j in range(steps)]
        P = torch.linalg.qr(torch.stack(powers, 1)).Q
        u, values, mixed = torch.linalg.svd(A @ P, full_matrices=False)
        residual = (A.T @ u - P @ mixed.T * values).norm(dim=0)
        torch.testing.assert_close(found.values[i], values, rtol=1e-8, atol=0)
        torch.testing.assert_close(found.residual[i], residual, rtol=1e-6, atol=0)


def test_an_orthogonal_map_has_the_condition_number_1():
    """Iso Eq. 10, where the first step exhausts the subspace and each later one starts anew."""
    Q = torch.linalg.qr(torch.randn(11, N, generator=seeded(), dtype=torch.float64).T).Q.T * 3.0
    found = spectrum_ends(lambda x: x @ Q.T, torch.zeros(2, N).double(), 5, seeded())
    torch.testing.assert_close(found.values, torch.full((2, 5), 3.0).double(), rtol=1e-14, atol=0)
    assert (found.residual < 1e-12).all()


def test_a_rank_that_is_not_full_has_a_value_of_zero():
    weight = torch.diag(torch.tensor([5.0, 4.0, 3.0, 0.0, 0.0]).double())
    found = spectrum_ends(lambda x: x @ weight, torch.zeros(1, 5).double(), 5, seeded())
    wanted = torch.tensor([[5.0, 4.0, 3.0, 0.0, 0.0]]).double()
    torch.testing.assert_close(found.values, wanted, rtol=0, atol=1e-12)
    nothing = spectrum_ends(lambda x: 0 * x, torch.zeros(1, 5).double(), 3, seeded())
    assert (nothing.values == 0).all() and (nothing.residual == 0).all()


def test_samples_do_not_depend_on_their_batch(x):
    f = net(11)
    together = spectrum_ends(f, x, 5, seeded())
    for i in range(B):
        alone = spectrum_ends(f, x[i : i + 1], 5, seeded())
        torch.testing.assert_close(alone.values[0], together.values[i], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("steps", "message"), [(0, "steps must be"), (8, "at most 7")])
def test_steps_are_refused(x, steps, message):
    with pytest.raises(ValueError, match=message):
        spectrum_ends(net(7), x, steps)
