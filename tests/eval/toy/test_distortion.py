"""The numbers of the toy on maps of the sphere whose distortion is known in closed form."""

import math
from pathlib import Path

import pytest
import torch

from latentgeo.core.isometry import pullback
from latentgeo.core.sphere import unit_chart
from latentgeo.eval.audit.errors import deviates
from latentgeo.eval.toy.autoencoder import held_out_points
from latentgeo.eval.toy.distortion import distortion, probe_errors, running_estimate
from latentgeo.eval.toy.settings import ToyIsometry


def points(gap, count=1501):
    return held_out_points(ToyIsometry(out=Path("unused"), gap=gap), count)


def stereographic(x):
    return unit_chart(x, x.norm(dim=1))


def azimuthal(x):
    """Distances and directions from the south pole as they are."""
    reach = x[:, :2].norm(dim=1, keepdim=True)
    return torch.atan2(reach, -x[:, 2:]) / reach * x[:, :2]


def test_stereographic_projection_is_conformal_and_uneven():
    """Iso Sec. 3: its σ are both 1/(1 - x_3), in coordinates of the unit sphere."""
    x = points(60.0)
    found, sigma = distortion(stereographic, x), 1 / (1 - x[:, 2])
    assert found.condition == pytest.approx(1, abs=1e-5)
    assert found.spread == pytest.approx((sigma.std() / sigma.mean()).item(), rel=1e-3)
    wanted = (sigma**4).mean() / (2 * (sigma**2).mean() ** 2)
    assert found.loss == pytest.approx(wanted.item())
    assert found.folded == 0


def test_azimuthal_projection_is_true_from_its_centre():
    """Iso Sec. 3: σ is 1 outwards and θ/sin θ around, θ from the south pole."""
    x = points(60.0)
    found, theta = distortion(azimuthal, x), (-x[:, 2]).acos()
    around = theta / theta.sin()
    assert found.condition == pytest.approx(around.mean().item())
    both = torch.cat([around, torch.ones_like(around)])
    assert found.spread == pytest.approx((both.std() / both.mean()).item())
    assert 0 < found.distances < distortion(stereographic, x).distances


def test_a_small_cap_is_nearly_flat():
    """Iso Sec. 3: near a point every smooth projection is an isometry to first order."""
    found = distortion(azimuthal, points(178.0))
    assert found.condition == pytest.approx(1, abs=1e-3)
    assert found.loss == pytest.approx(0.5, abs=1e-3)
    assert max(found.spread, found.distances) < 1e-3


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_shadow_folds_half_of_the_sphere(turn):
    """Iso Sec. 3: seen from the pole, one half lies over the other; a mirror changes nothing."""
    found = distortion(lambda x: x[:, :2] * torch.tensor([1.0, turn]), points(0.0))
    n = len(points(0.0))
    assert deviates(found.folded, 0.5, (0.25 / n) ** 0.5, n) < 4
    upright = distortion(lambda x: stereographic(x) * torch.tensor([3.0, 3 * turn]), points(60.0))
    assert upright.folded == 0 and upright.condition == pytest.approx(1, abs=1e-5)


def test_a_map_onto_a_line_has_one_singular_value():
    """Iso Sec. 3: of x ↦ (x_1, x_1), σ_1 = √2 √(1 - x_1²) and σ_2 = 0, also where rounding has σ_2²
    below 0.
    """
    x = points(60.0)
    found = distortion(lambda x: x[:, :1].expand(-1, 2), x)
    sigma = (2 * (1 - x[:, 0].square())).sqrt()
    both = torch.cat([sigma, torch.zeros_like(sigma)])
    assert found.spread == pytest.approx((both.std() / both.mean()).item(), rel=1e-4)


def stretched(x):
    return (x * torch.tensor([1.0, 2.0, 0.5], dtype=x.dtype))[:, :2]


def test_errors_fall_as_the_square_root():
    """Iso Sec. A.1, Iso Eq. 8: they fall, and are as large as the variance of normal probes says.

    The variance is that of vᵀRv for R = U diag(σ²) Uᵀ: Σ σ⁴ Var(v_i²) = 2 Tr(R²).
    """
    x = points(60.0, 53)
    found = probe_errors(stretched, x, 64, torch.Generator().manual_seed(1))
    assert [one.probes for one in found] == [1, 2, 4, 8, 16, 32, 64]
    for one in found:
        tails = 12 / one.probes  # of the excess kurtosis at most, that of a single axis
        spread = one.predicted * ((2 + tails) / (4 * one.groups)) ** 0.5
        assert deviates(one.measured, one.predicted, spread, one.groups) < 4
        assert one.predicted == pytest.approx(found[0].predicted / math.sqrt(one.probes))
    assert [one.groups for one in found] == [53 * 64 // 2**i for i in range(7)]
    R = pullback(stretched, x)
    first, second = R.diagonal(dim1=1, dim2=2).sum(1), R.square().sum((1, 2))
    assert found[0].predicted == pytest.approx((2 * second / first**2).mean().sqrt().item())


def test_an_estimate_is_within_its_error():
    """Iso Sec. A.1: of Tr(R), known by hand at the south pole: 1² + 2²."""
    south = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64)
    rows, exact = running_estimate(stretched, south, 512, torch.Generator().manual_seed(1))
    assert exact == pytest.approx(5)
    assert [n for n, _, _ in rows] == [8, 16, 32, 64, 128, 256, 512]
    for n, value, error in rows:
        assert deviates(value, 5, error, n) < 4
        stated, tails = (2 * (1 + 16) / n) ** 0.5, 12 * (1 + 256) / 17**2
        assert deviates(error, stated, stated * ((2 + tails) / (4 * n)) ** 0.5, n) < 4
