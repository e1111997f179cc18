"""Condition numbers and variances of maps whose singular values are known."""

import pytest
import torch
import torch.nn.functional as F

from latentgeo.core.conditioning import all_values, condition_number, pooled, variance_of_values

B, N, M = 5, 7, 11


def draws(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_an_orthogonal_map_is_perfectly_conditioned_and_does_not_vary():
    """Iso Eq. 10, Iso Eq. 11: 1 and 0, tall or wide, at any scale."""
    for outputs, inputs in ((M, N), (N, M)):
        Q = torch.linalg.qr(draws(M, N)).Q
        Q = 3.0 * (Q if outputs == M else Q.T)
        values = all_values(lambda x, Q=Q: x @ Q.T, draws(B, inputs))
        assert values.shape == (B, N)
        ones = torch.ones(B, dtype=torch.float64)
        torch.testing.assert_close(condition_number(values), ones, rtol=1e-13, atol=0)
        assert variance_of_values(values) < 1e-24


def test_a_map_that_stretches_by_its_place():
    """Iso Eq. 10, Iso Eq. 11: y_i = s_i (x_i + x_i³/3) has J = diag(s) (1 + c²) at x = c 1."""
    s, x = torch.arange(1.0, N + 1).double(), draws(B, 1).repeat(1, N)
    found = all_values(lambda x: s * (x + x**3 / 3), x)
    torch.testing.assert_close(condition_number(found), torch.full((B,), float(N)).double())
    gain = 1 + x[:, 0].square()
    spread = (gain.square().mean() - gain.mean() ** 2) * B / (B - 1)
    torch.testing.assert_close(variance_of_values(found), spread * s.square().sum())
    logs = gain.log()
    apart = (logs[:, None] - logs[None]).square().sum() / (2 * B * (B - 1))
    torch.testing.assert_close(variance_of_values(found.log()), N * apart)
    torch.testing.assert_close(variance_of_values((9 * found).log()), N * apart)


def test_values_are_those_of_the_formed_jacobian():
    """Iso Eq. 10: σ_i = √λ_i of JᵀJ (printed: λ_i²), with J by reverse mode of the whole."""
    weight = draws(M, N)

    def f(x):
        return torch.tanh(x @ weight.T)

    x = draws(2, N)
    for i in range(2):
        J = torch.autograd.functional.jacobian(lambda one: f(one[None])[0], x[i])
        roots = torch.linalg.eigvalsh(J.T @ J).flip(0).sqrt()
        torch.testing.assert_close(all_values(f, x, chunk=3)[i], roots, rtol=1e-8, atol=1e-10)


def test_pooling_is_the_mean_over_cells():
    h = draws(2, 3, 4, 6)
    torch.testing.assert_close(pooled(h, 2)[:, :, 1, 2], h[:, :, 2:4, 4:6].mean((2, 3)))
    assert pooled(h, 1) is h
    torch.testing.assert_close(pooled(h[..., :4], 8), F.adaptive_avg_pool2d(h[..., :4], 1))
    with pytest.raises(ValueError, match=r"cell must divide the sides \(4, 6\) of h, got 3"):
        pooled(h, 3)


def test_one_sample_has_no_variance():
    with pytest.raises(ValueError, match=r"values: got \(1, 3\)"):
        variance_of_values(draws(1, 3))
