"""Interpolation against matrix exponentials and Shoemake's formula."""

import math

import pytest
import torch

from latentgeo.core.interpolate import lerp, slerp, sweep


def pair(seed=0, shape=(3, 2, 5), dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)
    return a, b


def of_norm(x, norm):
    return x / x.flatten(1).norm(dim=1).reshape(-1, 1, 1) * norm


@pytest.mark.parametrize("w", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_slerp_is_a_rotation(w):
    """SmoothS Eq. 3: exp(w log R) a, R the rotation in the plane of a and b that takes a to b."""
    a, b = pair()
    a, b = of_norm(a, 3.0), of_norm(b, 3.0)
    for i in range(3):
        u, v = a[i].flatten() / 3, b[i].flatten() / 3
        angle = torch.arccos(u @ v)
        n = (v - (u @ v) * u) / torch.sin(angle)
        generator = angle * (torch.outer(n, u) - torch.outer(u, n))
        expected = (torch.linalg.matrix_exp(w * generator) @ (3 * u)).reshape(2, 5)
        torch.testing.assert_close(slerp(a, b, w)[i], expected, rtol=1e-10, atol=1e-10)


def test_slerp_is_shoemakes_formula_for_equal_norms():
    """SmoothS Eq. 3: sin((1-η)θ)/sin θ a + sin(ηθ)/sin θ b."""
    a, b = (of_norm(x, 1.7) for x in pair(1))
    angle = torch.arccos((a * b).sum((1, 2)) / 1.7**2).reshape(-1, 1, 1)
    expected = torch.sin(0.7 * angle) / torch.sin(angle) * a
    expected += torch.sin(0.3 * angle) / torch.sin(angle) * b
    torch.testing.assert_close(slerp(a, b, 0.3), expected, rtol=1e-12, atol=1e-12)


def test_a_batch_is_its_samples():
    """SmoothS Eq. 3: parallel, opposite, zero and other samples beside each other are as alone."""
    a, b = (torch.cat(both) for both in zip(pair(6), pair(7), strict=True))  # 6 samples
    b[0], b[1], b[2], a[3] = 2 * a[0], -a[1], 0, 0
    together = slerp(a, b, 0.3)
    for i in range(6):
        torch.testing.assert_close(together[i : i + 1], slerp(a[i : i + 1], b[i : i + 1], 0.3))
    torch.testing.assert_close(together[2:4], lerp(a, b, 0.3)[2:4])  # no direction, no arc
    each = slerp(a, b, torch.arange(6) / 10)
    torch.testing.assert_close(each[3], together[3])


def test_sweep_takes_equal_steps():
    """SmoothS Eq. 3: η = 0, 0.1, ..., 1 are 11 points, 10 equal angles and 10 equal distances."""
    a, b = (of_norm(x, 2.3) for x in pair(2))
    points = sweep(a, b).flatten(2)
    assert torch.equal(points[-1], b.flatten(1))
    assert points.shape == (11, 3, 10)
    steps = points.diff(dim=0).norm(dim=2)
    torch.testing.assert_close(steps, steps[:1].expand(10, 3), rtol=1e-12, atol=0)
    torch.testing.assert_close(points.norm(dim=2), torch.full((11, 3), 2.3, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least 2"):
        sweep(a, b, 1)


@pytest.mark.parametrize("path", [lerp, slerp])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_ends_are_exact(path, dtype):
    """SmoothS Eq. 3: η = 0 is ε^a and η = 1 is ε^b, to the last bit, in the dtype given."""
    a, b = pair(3, dtype=dtype)
    assert torch.equal(path(a, b, 0.0), a) and torch.equal(path(a, b, 1.0), b)
    assert path(a, b, 0.5).dtype == dtype
    assert torch.equal(path(-a, a, 1.0), a)


def test_slerp_lengths_go_linearly():
    """SmoothS Eq. 3: where the norms differ the length is (1-η)‖a‖ + η‖b‖."""
    a, b = pair(4)
    norms = [x.flatten(1).norm(dim=1) for x in (a, b, slerp(a, b, 0.3))]
    torch.testing.assert_close(norms[2], 0.7 * norms[0] + 0.3 * norms[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("nearly", [0.0, 1e-15, 1e-9, 1e-5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slerp_keeps_its_norm_at_angle_zero_and_pi(dtype, nearly, sign):
    """SmoothS Eq. 3: near θ = 0 and θ = π the norm is kept, and the angle from a is η θ."""
    a, c = pair(5, dtype=dtype)
    b = sign * a + nearly * c
    points = sweep(a, b, 5).double().flatten(2)
    assert points.isfinite().all()
    norms = points.norm(dim=2)
    torch.testing.assert_close(norms, norms[:1].expand(5, 3), rtol=1e-4, atol=0)
    if sign < 0:
        cosine = (points[2] * points[0]).sum(1) / (norms[2] * norms[0])
        torch.testing.assert_close(cosine, torch.zeros_like(cosine), rtol=0, atol=1e-4)
    assert torch.equal(slerp(a, b, 0.37), slerp(a, b, 0.37))


def test_each_sample_has_its_own_angle_and_ratio():
    """SmoothS Eq. 3: a batch is its samples one by one, with one ratio each if asked."""
    a, b = pair(6)
    w = torch.tensor([0.1, 0.5, 0.83])
    for path in (lerp, slerp):
        rows = [path(a[i : i + 1], b[i : i + 1], w[i].item()) for i in range(3)]
        torch.testing.assert_close(path(a, b, w), torch.cat(rows), rtol=1e-6, atol=1e-6)


def test_a_zero_vector_is_interpolated_linearly():
    a, b = pair(7)
    a[1] = 0
    torch.testing.assert_close(slerp(a, b, 0.25)[1], 0.25 * b[1])


def test_slerp_leaves_room_for_outer_ratios():
    """SmoothS Eq. 3 beyond [0, 1] keeps turning: η = 2 is the mirror image of a in b."""
    a, b = (of_norm(x, 1.0) for x in pair(8))
    mirrored = 2 * (a * b).sum((1, 2), keepdim=True) * b - a
    torch.testing.assert_close(slerp(a, b, 2.0), mirrored, rtol=1e-10, atol=1e-10)
    assert math.isclose(lerp(a, b, 2.0)[0, 0, 0].item(), (2 * b - a)[0, 0, 0].item())


@pytest.mark.parametrize(
    ("a", "b", "w"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 5), 0.5),
        (torch.zeros(3), torch.zeros(3), 0.5),
        (torch.zeros(2, 1), torch.zeros(2, 1), 0.5),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3)),
    ],
)
def test_bad_shapes_are_refused(a, b, w):
    with pytest.raises(ValueError):
        slerp(a, b, w)
