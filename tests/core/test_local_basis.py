"""The local basis against formed Jacobians in a chart, and moves on the sphere."""

import pytest
import torch
from torch import nn

from latentgeo.core import sphere
from latentgeo.core.interpolate import slerp
from latentgeo.core.local_basis import arc, combined, line, local_basis

B, C, SIDE, M, K = 2, 2, 3, 11, 3
N = C * SIDE


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(N, 7), nn.SiLU(), nn.Linear(7, M)
    return nn.Sequential(*layers).double()


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(B, C, SIDE, generator=generator, dtype=torch.float64)


def basis(net, x, t=None):
    t = torch.ones(B, dtype=torch.int64) if t is None else t
    seeded = torch.Generator().manual_seed(2)
    return local_basis(lambda x, t: net(x) * t[:, None], x, t, K, tolerance=1e-9, generator=seeded)


def test_values_are_those_of_a_chart(net, x):
    """Iso Sec. 4.3: σ are those of the map in stereographic coordinates, its metric taken out."""
    found, r = basis(net, x), x.flatten(1).norm(dim=1)
    z = sphere.scaled_chart(x, r)
    for i in range(B):

        def f(one, i=i):
            return net(sphere.scaled_chart_inverse(one[None], r[i : i + 1]))[0]

        J = torch.autograd.functional.jacobian(f, z[i]) / sphere.scaled_metric(z, r)[i].sqrt()
        torch.testing.assert_close(found.values[i], torch.linalg.svdvals(J)[:K])


def test_directions_are_tangents_that_move_h_by_their_value(net, x):
    """Iso Sec. 4.3: a small arc along v_i moves h by σ_i u_i; times may differ by sample."""
    t = torch.tensor([1, 5])
    found = basis(net, x, t)
    assert (found.right.flatten(2) * x.flatten(1)[:, None]).sum(2).abs().max() < 1e-12
    for i in range(K):
        ends = [net(arc(x, step * found.right[:, i])) * t[:, None] for step in (1e-5, -1e-5)]
        slope = (ends[0] - ends[1]) / 2e-5
        torch.testing.assert_close(slope, found.values[:, i, None] * found.left[:, i])


def test_defaults_are_a_hundredth_and_a_hundred_iterations():
    """Iso Sec. 4.3: ‖Jᵀu - σv‖ ≤ 0.01 σ_1 is enough, and no smaller one is waited for; where none
    is small enough, as for a tolerance of 1e-30, the hundredth iteration is the last.
    """
    seeded = torch.Generator().manual_seed(3)
    x = torch.randn(1, 3, 29, generator=seeded, dtype=torch.float64)
    W = torch.randn(53, 87, generator=seeded, dtype=torch.float64)

    def run(**options):
        start, t = torch.Generator().manual_seed(2), torch.ones(1, dtype=torch.int64)
        return local_basis(lambda x, t: x.flatten(1) @ W.T, x, t, 1, generator=start, **options)

    found = run()
    assert (found.residual <= 1e-2 * found.values).all()
    assert torch.equal(found.iterations, run(tolerance=1e-2).iterations)
    assert found.iterations > run(tolerance=0.1).iterations
    with pytest.warns(UserWarning, match="after 100 iterations"):
        assert run(tolerance=1e-30).iterations.max() == 100


def test_the_sign_does_not_depend_on_the_start(net, x):
    """Iso Sec. 4.3: of both vectors of a pair, whatever the random start."""
    t = torch.ones(B, dtype=torch.int64)
    for seed in range(5):
        start = torch.Generator().manual_seed(seed)
        found = local_basis(lambda x, t: net(x), x, t, K, tolerance=1e-9, generator=start)
        flat = found.right.flatten(2)
        assert torch.equal(flat.max(2).values, flat.abs().max(2).values)
        torch.testing.assert_close(found.left, basis(net, x).left, rtol=1e-4, atol=1e-6)


def test_arc_is_the_slerp_to_its_own_end(net, x):
    """Iso Sec. 4.3: half the way is slerp's middle, lengths are those walked, no way is x."""
    w = 1.7 * basis(net, x).right[:, 0]
    end, r = arc(x, w), x.flatten(1).norm(dim=1)
    torch.testing.assert_close(end.flatten(1).norm(dim=1), r)
    torch.testing.assert_close(arc(x, w / 2), slerp(x, end, 0.5))
    cosine = (x * end).flatten(1).sum(1) / r**2
    torch.testing.assert_close(r * cosine.acos(), torch.full((B,), 1.7, dtype=torch.float64))
    assert torch.equal(arc(x, torch.zeros_like(x)), x)
    quarter = torch.pi / 2 * r[:, None, None] * w / 1.7
    assert (arc(x, quarter) * x).flatten(1).sum(1).abs().max() < 1e-12


def test_a_line_leaves_the_sphere_to_second_order(net, x):
    """Iso Sec. 4.3: by ‖w‖²/2r, and in arc's direction to first order."""
    v, r = basis(net, x).right[:, 0], x.flatten(1).norm(dim=1)
    for length in (1e-2, 1e-3):
        above = line(x, length * v).flatten(1).norm(dim=1) - r
        torch.testing.assert_close(above, length**2 / (2 * r), rtol=1e-4, atol=0)
        gap = (line(x, length * v) - arc(x, length * v)).flatten(1).norm(dim=1)
        torch.testing.assert_close(gap, length**2 / (2 * r), rtol=1e-2, atol=0)


def test_moves_add(net, x):
    """Iso Sec. C: the length of a move in two directions is that of its coordinates."""
    lengths = torch.tensor([[3.0, -4.0, 0.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    found = basis(net, x)
    w = combined(found.right, lengths)
    assert w.shape == x.shape
    torch.testing.assert_close(w.flatten(1).norm(dim=1).tolist(), [5.0, 2.0])
    torch.testing.assert_close(w[1], 2 * found.right[1, 2])
    torch.testing.assert_close(w[0], 3 * found.right[0, 0] - 4 * found.right[0, 1])
