"""The Fréchet distance against closed forms, the cost of the optimal map, and singular sets."""

import pytest
import torch

from latentgeo.eval.metrics.fid import (
    deep_features,
    factor_of,
    feature_distance,
    frechet_distance,
    gaussian_of,
    symmetric_sqrt,
)


def covariance(seed, size=7):
    factor = torch.randn(size, size + 4, generator=torch.Generator().manual_seed(seed)).double()
    return factor @ factor.mT / size


def rotation(size=7):
    generator = torch.Generator().manual_seed(5)
    return torch.linalg.qr(torch.randn(size, size, generator=generator).double())[0]


def test_frechet_of_gaussians_closed_form():
    """FID Eq. 6a: where the covariances commute it is ‖Δm‖² + Σ (√λ_i - √μ_i)²."""
    basis = rotation()
    one = torch.arange(1.0, 8.0).double()
    two = torch.tensor([3.0, 0.0, 2.0, 9.0, 0.5, 1.0, 4.0]).double()  # one direction is flat
    m_1, m_2 = torch.zeros(7).double(), torch.full((7,), 0.3).double()
    found = frechet_distance(m_1, basis @ one.diag() @ basis.mT, m_2, basis @ two.diag() @ basis.mT)
    expected = 7 * 0.3**2 + (one.sqrt() - two.sqrt()).square().sum().item()
    assert found == pytest.approx(expected, rel=1e-7)  # the flat direction's root of rounding


def test_frechet_is_the_cost_of_the_optimal_map():
    """FID Eq. 6a

    C_1 moved by A = C_1^{-1/2}(C_1^{1/2} C_2 C_1^{1/2})^{1/2} C_1^{-1/2} costs d².
    """
    c_1, c_2 = covariance(1), covariance(2)
    root = symmetric_sqrt(c_1)
    inverse = torch.linalg.inv(root)
    plan = inverse @ symmetric_sqrt(root @ c_2 @ root) @ inverse
    torch.testing.assert_close(plan @ c_1 @ plan.mT, c_2, rtol=1e-8, atol=1e-8)
    away = torch.eye(7).double() - plan
    cost = (away @ c_1 @ away.mT).trace().item()  # E ‖x - Ax‖²
    found = frechet_distance(torch.zeros(7), c_1, torch.zeros(7), c_2)
    assert found == pytest.approx(cost, rel=1e-8)


def test_no_distance_is_below_0():
    """FID Eq. 6a, FID Eq. 6b: of equal sets, rounding falls on either side."""
    for seed in range(20):
        cov = covariance(seed)
        assert 0 <= frechet_distance(cov[0], cov, cov[0], cov) < 1e-12
        assert 0 <= feature_distance(cov[:5], cov[:5]) < 1e-12


def test_symmetric_zero_and_invariant():
    c_1, c_2, basis = covariance(1), covariance(2), rotation()
    m_1, m_2 = torch.randn(2, 7, generator=torch.Generator().manual_seed(3)).double()
    d = frechet_distance(m_1, c_1, m_2, c_2)
    assert frechet_distance(m_2, c_2, m_1, c_1) == pytest.approx(d, rel=1e-9)
    turned = frechet_distance(
        basis @ m_1, basis @ c_1 @ basis.mT, basis @ m_2, basis @ c_2 @ basis.mT
    )
    assert turned == pytest.approx(d, rel=1e-9)
    assert frechet_distance(9 * m_1, 81 * c_1, 9 * m_2, 81 * c_2) == pytest.approx(81 * d, rel=1e-9)
    assert frechet_distance(m_1, c_1, m_1, c_1) == pytest.approx(0, abs=1e-9)


def test_fewer_images_than_features():
    """FID Eq. 6b: singular covariances, where a general matrix root turns complex: real and right.

    The two sets lie in orthogonal planes, so no mass is shared and d² = Tr C_1 + Tr C_2.
    """
    generator = torch.Generator().manual_seed(0)
    one, two = torch.zeros(11, 50), torch.zeros(11, 50)
    one[:, :20] = torch.randn(11, 20, generator=generator)
    two[:, 20:40] = torch.randn(11, 20, generator=generator)
    (m_1, c_1), (m_2, c_2) = gaussian_of(one), gaussian_of(two)
    expected = (m_1 - m_2).square().sum() + c_1.trace() + c_2.trace()
    assert feature_distance(one, two) == pytest.approx(expected.item(), rel=1e-6)
    assert feature_distance(one, one) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(5, 17), (19, 3), (22, 22)])
def test_few_images_need_no_covariance(n, m):
    """FID Eq. 6b: the singular values of A_1 A_2ᵀ, against the root of the covariances."""
    generator = torch.Generator().manual_seed(n)
    one = torch.randn(n, 23, generator=generator) @ torch.randn(23, 23, generator=generator)
    two = torch.randn(m, 23, generator=generator) + 0.3
    wanted = frechet_distance(*gaussian_of(one), *gaussian_of(two))
    assert feature_distance(one, two) == pytest.approx(wanted, rel=1e-6)
    mean, factor = factor_of(one)
    torch.testing.assert_close(mean, gaussian_of(one)[0])
    torch.testing.assert_close(factor.mT @ factor, gaussian_of(one)[1])


def test_distance_shrinks_as_sets_grow():
    """Two samples of one Gaussian: the bias at small n is upwards, and falls with n."""
    x = torch.randn(4000, 13, generator=torch.Generator().manual_seed(0))
    few, many = feature_distance(x[:50], x[50:100]), feature_distance(x[:2000], x[2000:])
    assert 0 < many < 0.1 < few


def test_gaussian_of_is_the_sample_mean_and_covariance():
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
    mean, cov = gaussian_of(x)
    torch.testing.assert_close(mean, torch.tensor([3.0, 2.0], dtype=torch.float64))
    torch.testing.assert_close(cov, torch.tensor([[4.0, 6.0], [6.0, 12.0]], dtype=torch.float64))


def test_deep_features_are_the_last_columns_of_all_batches():
    batches = [torch.arange(14.0).reshape(2, 7), torch.arange(7.0).reshape(1, 7)]
    found = deep_features(lambda x: x, batches, width=3)
    assert found.tolist() == [[4, 5, 6], [11, 12, 13], [4, 5, 6]]
    with pytest.raises(ValueError, match="got none"):
        deep_features(lambda x: x, [])


def test_bad_sets_are_refused():
    with pytest.raises(ValueError, match="n >= 2"):
        gaussian_of(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="not finite"):
        gaussian_of(torch.full((3, 2), float("nan")))
    with pytest.raises(ValueError, match="got D = 5 and 7, wanted the same"):
        feature_distance(torch.zeros(3, 5), torch.zeros(3, 7))
    with pytest.raises(ValueError, match="first Gaussian"):
        frechet_distance(torch.zeros(2), torch.zeros(3, 3), torch.zeros(2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="wanted the same"):
        frechet_distance(torch.zeros(2), torch.zeros(2, 2), torch.zeros(3), torch.zeros(3, 3))
