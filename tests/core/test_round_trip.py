"""There and back through a map, against formed Jacobians and by count."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from latentgeo.core.round_trip import round_trip
from latentgeo.models.layers import Conv2d, GroupNormSiLU, LayerNorm
from tests.kernels.test_convolution import Convolutions

B, C, SIDE, M = 3, 2, 5, 7
N = C * SIDE


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Conv1d(C, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.SiLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(6 * SIDE, M), nn.Tanh()).double()


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def formed(f, x):
    """J (B, M, N) with a graph, by reverse mode, row by row."""
    rows = torch.autograd.functional.jacobian(lambda x: f(x).sum(0), x, create_graph=True)
    return rows.flatten(2).transpose(0, 1)


def some_loss(s, y):
    """A function of both that is of no symmetry."""
    return (s.sin() * drawn(B, M, seed=3)).sum() + (y.flatten(1) * drawn(B, N, seed=4)).exp().sum()


def test_products_are_those_of_the_jacobian(net):
    """Iso Eq. 6: s = J v and y = JᵀJ v, and their graph is of the weights alone."""
    x, v = drawn(B, C, SIDE).requires_grad_(), drawn(B, C, SIDE, seed=2)
    J = formed(net, x)
    s, y = round_trip(net, x, v)
    torch.testing.assert_close(s, torch.einsum("bmn,bn->bm", J, v.flatten(1)))
    torch.testing.assert_close(y.flatten(1), torch.einsum("bmn,bm->bn", J, s))
    assert torch.autograd.grad(some_loss(s, y), x, allow_unused=True) == (None,)


def test_gradient_is_two_forms_in_the_jacobian(net):
    """Iso Eq. 6: dL = ⟨s, dJ m⟩ + ⟨q, dJ v⟩, m = ∂L/∂y, q = ∂L/∂s + J m, of a formed J."""
    x, v = drawn(B, C, SIDE), drawn(B, C, SIDE, seed=2)
    s, y = round_trip(net, x, v)
    weights = [w for name, w in net.named_parameters() if name != "4.bias"]
    ours = torch.autograd.grad(some_loss(s, y), weights)

    J = formed(net, x)
    s, y = (t.detach().requires_grad_() for t in (s, y))
    in_s, m = torch.autograd.grad(some_loss(s, y), (s, y))
    q = in_s + torch.einsum("bmn,bn->bm", J, m.flatten(1)).detach()
    forms = [(s.detach(), m), (q, v)]
    both = sum(torch.einsum("bm,bmn,bn->", u, J, t.flatten(1)) for u, t in forms)
    for a, b in zip(ours, torch.autograd.grad(both, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        assert a.abs().max() > 0


def test_units_are_nine():
    """Of every layer 3 runs there and back and 6 of the gradient, less at the ends.

    Nothing goes back to v from the first, and nothing to x by the last, which is linear in both.
    """
    layers = [Conv2d(6, 6, 3, padding=1) for _ in range(3)]
    net = nn.Sequential(layers[0], GroupNormSiLU(2, 6), layers[1], nn.SiLU(), layers[2]).double()
    with Convolutions() as runs:
        s, y = round_trip(net, drawn(B, 6, 4, 4), drawn(B, 6, 4, 4, seed=2))
        assert runs.count == 3 * 3
        (s.square().sum() + y.square().sum()).backward()
    assert runs.count == 3 * 9 - 1 - 2


def test_layer_norm_of_torch_is_refused():
    """Its gradient would be wrong in silence; that of the package is right."""
    x, v = drawn(B, 7), drawn(B, 7, seed=2)
    with pytest.raises(RuntimeError, match="PyTorch's layer norm has a wrong gradient"):
        round_trip(lambda x: F.layer_norm(x, (7,)).sin(), x, v)
    norm = LayerNorm(7).double()
    ours = round_trip(norm, x, v)[1].pow(3).sum()
    theirs = torch.einsum("bmn,bmk,bk->bn", formed(norm, x), formed(norm, x), v).pow(3).sum()
    for a, b in zip(
        torch.autograd.grad(ours, [norm.weight]),
        torch.autograd.grad(theirs, [norm.weight]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_map_that_leaves_x_out_is_refused():
    with pytest.raises(ValueError, match="f: got a value that does not depend on x"):
        round_trip(lambda x: torch.ones(B, M, dtype=x.dtype), drawn(B, C), drawn(B, C))
