"""Path lengths and relative lengths of maps for which both are known in closed form."""

import math

import pytest
import torch

from latentgeo.core.interpolate import lerp, sweep
from latentgeo.core.path_metrics import check_epsilon, nudged, path_lengths, relative_lengths

B, N, M = 3, 7, 11


def noise(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def on_a_sphere(r=2.5):
    """Two points (B, N) at the distance r from 0, and the angle between them (B,)."""
    a, b = (r * x / x.norm(dim=1, keepdim=True) for x in noise(0, 2, B, N))
    return a, b, ((a * b).sum(1) / r**2).arccos()


def orthonormal(rows, columns):
    return torch.linalg.qr(noise(1, rows, columns)).Q


def square(x, y):
    """A distance that grows as LPIPS does, with the square of a change."""
    return (x - y).flatten(1).square().sum(1)


@pytest.mark.parametrize("epsilon", [0.5, 1e-2, 1e-4])
def test_path_length_of_an_isometry_is_the_same_all_along(epsilon):
    """Iso Sec. 4.1b: (2 c r sin(θε/2) / ε)², the chord of ε of the arc, at every w."""
    (a, b, angle), c, r = on_a_sphere(), 3.0, 2.5
    Q = c * orthonormal(M, N)
    wanted = (2 * c * r * (angle * epsilon / 2).sin() / epsilon).square()
    for place in (0.0, 0.3, 1 - epsilon):
        w = torch.full((B,), place, dtype=torch.float64)
        found = path_lengths(lambda x: x @ Q.T, square, a, b, w, epsilon)
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=0)
        linear = path_lengths(lambda x: x @ Q.T, square, a, b, w, epsilon, "linear")
        torch.testing.assert_close(linear, wanted * epsilon, rtol=1e-7, atol=0)


def test_the_second_place_lies_ahead():
    """Iso Sec. 4.1b: x_{w+ε}; at w = 1 - ε it is b."""
    (a, b, _), seen = on_a_sphere(), []

    def remembered(x):
        seen.append(x)
        return x

    path_lengths(remembered, square, a, b, torch.full((B,), 0.75, dtype=torch.float64), 0.25)
    assert torch.equal(seen[0][B:], b) and not torch.equal(seen[0][:B], a)


def test_the_distance_is_from_the_first_place_to_the_second():
    """Iso Sec. 4.1: d(x_w, x_{w+ε}), for a d that tells them apart; from a to b at ε = 1."""
    a, b, _ = on_a_sphere()
    found = path_lengths(lambda x: x, lambda x, y: (2 * y - x).sum(1), a, b, torch.zeros(B), 1.0)
    torch.testing.assert_close(found, (2 * b - a).sum(1))


def test_path_length_of_a_curved_map_is_its_squared_speed():
    """Iso Sec. 4.1b: ‖d/dw G(slerp(w))‖² by differentiating through the arc, as ε → 0."""
    a, b, angle = on_a_sphere()
    w = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    Q = noise(2, M, N)

    def along(w):
        u, v = ((1 - w) * angle).sin()[:, None], (w * angle).sin()[:, None]
        return torch.tanh((u * a + v * b) / angle.sin()[:, None] @ Q.T)

    speed = torch.func.jvp(along, (w,), (torch.ones_like(w),))[1].square().sum(1)
    found = path_lengths(lambda x: torch.tanh(x @ Q.T), square, a, b, w, 1e-6)
    torch.testing.assert_close(found, speed, rtol=1e-4, atol=0)


def test_a_straight_map_of_a_straight_walk_has_the_relative_length_1():
    """Iso Sec. 4.1c: of any linear map, to rounding."""
    a, b = noise(3, 2, B, N)
    walk = sweep(a, b, 11, lerp)
    found = relative_lengths(walk @ noise(4, M, N).T)
    torch.testing.assert_close(found, torch.ones(B, dtype=torch.float64), rtol=1e-14, atol=0)


def test_relative_length_of_an_arc_is_that_of_its_chords():
    """Iso Sec. 4.1c: K sin(θ/2K) / sin(θ/2) of an orthogonal map along a slerp, at any scale."""
    a, b, angle = on_a_sphere()
    for steps in (1, 2, 10):
        found = relative_lengths(3 * sweep(a, b, steps + 1) @ orthonormal(M, N).T)
        wanted = steps * (angle / 2 / steps).sin() / (angle / 2).sin()
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)


def test_a_map_that_flattens_great_circles_has_the_relative_length_1():
    """Iso Sec. 4.1c: the gnomonic projection, in one hemisphere."""
    a, b, _ = on_a_sphere()
    north = (a + b).mean(0)  # every a and b must be on its side
    a, b = (x * (x @ north).sign()[:, None] for x in (a, b))
    walk = sweep(a, b, 11)
    found = relative_lengths(walk / (walk @ north)[..., None])
    torch.testing.assert_close(found, torch.ones(B, dtype=torch.float64), rtol=1e-12, atol=0)


def test_a_detour_and_a_closed_walk():
    walk = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])[:, None]
    assert relative_lengths(walk).item() == 3.0
    assert relative_lengths(torch.cat([walk, walk[:1]])).isinf().all()


def test_a_nudge_is_lost_in_rounding():
    """It moves by 2⁻²⁴ of itself at most, and float32 keeps another number of some, not of all."""
    x = noise(5, B, N)
    moved = nudged(x, torch.float32, torch.Generator().manual_seed(0))
    assert ((moved - x).abs() <= x.abs() * 2**-24).all()
    assert (moved != x).all() and 0 < (moved.float() != x.float()).float().mean() < 1


@pytest.mark.parametrize("epsilon", [0.0, -1e-4, 1.5, math.nan])
def test_epsilon_is_a_part_of_a_walk(epsilon):
    with pytest.raises(ValueError, match="epsilon must lie in"):
        check_epsilon(epsilon)


def test_bad_input_is_named():
    a, b, _ = on_a_sphere()
    w = torch.zeros(B, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"w: wanted \(3,\) in 0..0.9"):
        path_lengths(lambda x: x, square, a, b, w + 0.95, 0.1)
    with pytest.raises(ValueError, match="scale: got 'cubed'"):
        path_lengths(lambda x: x, square, a, b, w, 0.1, "cubed")
    with pytest.raises(ValueError, match=r"h: got \(3, 7\)"):
        relative_lengths(a)
