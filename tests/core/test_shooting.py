"""Shooting against geodesics that are known: great circles, and the pullback's own equation."""

import math

import pytest
import torch

from latentgeo.core.local_basis import arc, local_basis
from latentgeo.core.shooting import shoot, transported
from latentgeo.core.singular import Singular

T = torch.ones(1, dtype=torch.int64)


def seeded():
    return torch.Generator().manual_seed(2)


def stretched(x, t):
    """A sphere pulled to an ellipsoid: geodesics of its surface are no great circles of x."""
    return x * torch.tensor([1.0, 1.5, 0.7], dtype=x.dtype)


def basis_of(encode):
    return lambda x: local_basis(encode, x, T, 2, tolerance=1e-9, generator=seeded())


def start_at(encode, x):
    found = basis_of(encode)(x)
    return found.left[:, 0], found.right[:, 0]


def point(*numbers):
    x = torch.tensor([numbers], dtype=torch.float64)
    return x / x.norm()


def test_an_isometry_is_shot_along_the_slerp():
    """Iso Eq. 5, Iso Sec. 4.3: where the encoder is a scaled isometry, shooting is the arc."""
    x = 5 * point(0.3, -0.8, 0.52)
    turn = torch.linalg.qr(torch.randn(7, 3, generator=seeded(), dtype=torch.float64)).Q

    def encode(x, t):
        return 3 * x @ turn.T

    u, v = start_at(encode, x)
    path = shoot(basis_of(encode), x, (u, v), 4.0, 7)
    for i, one in enumerate(path, 1):
        torch.testing.assert_close(one, arc(x, i * 4.0 / 7 * v))


def test_a_step_costs_a_basis_and_the_last_one_none():
    """Iso Sec. 4.3: four are found on five steps, where each of the first four leads."""
    x, seen = point(0.5, 0.6, -0.4), []

    def find(y):
        seen.append(y)
        return basis_of(stretched)(y)

    path = shoot(find, x, start_at(stretched, x), 1.2, 5)
    assert torch.equal(torch.stack(seen), path[:-1])


def turning_along_the_surface(steps):
    """The share of h'' that is not along the surface's normal, halfway along a path."""
    x = point(0.5, 0.6, -0.4)
    path = shoot(basis_of(stretched), x, start_at(stretched, x), 1.2, steps)[:, 0]
    middle = steps // 2
    before, here, after = stretched(path[middle - 1 : middle + 2], T)
    turn = (after - here) / (after - here).norm() - (here - before) / (here - before).norm()
    normal = here / stretched(torch.ones(3, dtype=x.dtype), T) ** 2  # ∇ Σ (h_i/a_i)²
    normal = normal / normal.norm()
    return (turn - (turn * normal).sum() * normal).norm() / turn.norm()


def test_an_ellipsoid_is_shot_along_its_geodesics():
    """Iso Sec. 4.3: a geodesic of a surface turns along the surface's normal alone."""
    coarse, fine = turning_along_the_surface(30), turning_along_the_surface(120)
    assert fine < 0.02 and fine < 0.4 * coarse


def test_transport_is_the_projection_and_its_preimage():
    """Iso Sec. 4.3: u' is u without its part off the image, and J v' is parallel to u'."""
    x = point(0.5, 0.6, -0.4)
    found = basis_of(stretched)(x)
    normal = torch.linalg.cross(found.left[:, 0], found.left[:, 1])
    tangent = (3 * found.left[:, 0] - 4 * found.left[:, 1]) / 5
    u, v = transported(found, 0.6 * tangent + 0.8 * normal)
    torch.testing.assert_close(u, tangent)
    pushed = stretched(v, T)  # linear, so its own Jacobian
    torch.testing.assert_close(pushed / pushed.norm(), u)
    assert v.norm().item() == pytest.approx(1) and abs((v * x).sum().item()) < 1e-9


def test_what_is_squashed_carries_nothing():
    """Iso Sec. 4.3: Σ⁻¹ is that of the singular values above 0."""
    left, right = torch.eye(3)[None, :2].double(), torch.eye(5)[None, 1:3].double()
    values, none = torch.tensor([[2.0, 0.0]]).double(), torch.zeros(1, 2)
    basis = Singular(left, values, right, none, none)
    u, v = transported(basis, torch.tensor([[0.6, 0.8, 0.0]]).double())
    torch.testing.assert_close(u, torch.tensor([[0.6, 0.8, 0.0]]).double())
    torch.testing.assert_close(v, right[:, 0])


def test_points_are_on_the_sphere_and_equally_far_apart():
    """Iso Sec. 4.3: each step is as long as that of an arc."""
    x = 2 * point(0.5, 0.6, -0.4)
    path = shoot(basis_of(stretched), x, start_at(stretched, x), 3.0, 5)
    assert path.shape == (5, 1, 3)
    every = torch.cat([x[None], path])[:, 0]
    torch.testing.assert_close(every.norm(dim=1).tolist(), [2.0] * 6)
    chord = (every[1:] - every[:-1]).norm(dim=1)
    torch.testing.assert_close(chord.tolist(), [4 * math.sin(0.15)] * 5)


def test_a_path_without_steps_is_refused():
    x = point(0.5, 0.6, -0.4)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        shoot(basis_of(stretched), x, (x, x), 1.0, 0)
