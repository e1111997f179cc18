"""What nobody waits for is not computed."""

import torch

from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.attention.reference import vjp
from latentgeo.kernels.norms.op import group_norm
from latentgeo.kernels.norms.reference import Norm


def leaves(*shapes):
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def test_weights_of_a_norm_are_left_out_when_only_x_is_asked_for(monkeypatch):
    """autograd.grad(y, x), .backward(inputs=…), .backward() and a graph of the gradient."""
    asked, original = [], Norm.vjp

    def counted(self, point, u, wanted):
        asked.append(tuple(wanted))
        return original(self, point, u, wanted)

    monkeypatch.setattr(Norm, "vjp", counted)
    x, weight, bias = leaves((2, 6, 5), (6,), (6,))
    y = group_norm(1 * x, 3, weight, bias).sum()
    torch.autograd.grad(y, x, retain_graph=True)
    torch.autograd.grad(y, x, create_graph=True)
    y.backward(inputs=[bias], retain_graph=True)
    y.backward(retain_graph=True)
    every = (True, True, True)
    assert asked == [(True, False, False)] * 2 + [(False, False, True), every]
    torch.autograd.grad(group_norm(x, 3, weight, bias).sum(), x)
    assert asked[-1][0], "x is a leaf here"


def test_keys_and_values_are_left_out_when_only_queries_are_asked_for(monkeypatch):
    asked = []

    def counted(primal, u, wanted):
        asked.append(tuple(wanted))
        return vjp(primal, u, wanted)

    monkeypatch.setattr("latentgeo.kernels.attention.reference.vjp", counted)
    q, k, v = leaves((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4))
    o = attention(1 * q, 1 * k, 1 * v).sum()
    torch.autograd.grad(o, q, retain_graph=True)
    torch.autograd.grad(o, (q, v), retain_graph=True)
    assert asked == [(True, False, False), (True, False, True)]


def test_inside_transforms_everything_that_needs_a_gradient_is_computed():
    x, weight, bias = leaves((2, 6, 5), (6,), (6,))

    def loss(x, weight, bias):
        return group_norm(x, 3, weight, bias).square().sum()

    got = torch.func.grad(loss, argnums=(0, 1, 2))(x, weight, bias)
    torch.testing.assert_close(got, torch.autograd.grad(loss(x, weight, bias), (x, weight, bias)))
