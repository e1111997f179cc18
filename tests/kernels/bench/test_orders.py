"""Each order against Jacobians and Hessians of a function of two operands, in float64."""

import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from latentgeo.kernels.bench.orders import ORDERS, Data


def function(x, y):
    """Return three numbers of x (5,) and y (5,), neither linear."""
    return torch.stack([(x.sin() * y).sum(), (x * y**2).sum(), (x**3).sum() + y[0] ** 3])


def numbers(moved):
    generator = torch.Generator().manual_seed(moved)
    x, y, a, b = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    u = torch.randn(3, generator=generator, dtype=torch.float64)
    return Data(operands=(x, y), cotangent=u, tangents=(a, b)[:moved], trained=2)


def expected(data):
    """Return every result that an order may have, with the tangents that do not move as zeros."""
    point, u = torch.cat(data.operands), data.cotangent
    t = torch.cat([*data.tangents, torch.zeros(5 * (2 - len(data.tangents)), dtype=point.dtype)])

    def f(p):
        return function(p[:5], p[5:])

    of_point = jacobian(f, point)
    curved = hessian(lambda p: f(p) @ u, point) @ t
    back = of_point.T @ u
    return {
        "y": f(point),
        "y_dot": of_point @ t,
        "d0": back[:5],
        "d1": back[5:],
        "g0": curved[:5],
        "g1": curved[5:],
        "gu": of_point @ t,
        "gt0": back[:5],
        "gt1": back[5:],
    }


NAMES = {
    "forward": "y",
    "forward-backward": "y d0 d1",
    "forward-jvp": "y y_dot",
    "reverse-reverse": "y d0 d1 g0 g1 gu",
    "double-backward": "g0 g1 gu",
    "jvp-backward": "y y_dot g0 g1 gt0 gt1",
}
INNER = {"reverse-reverse": "d1", "jvp-backward": "gt1"}  # what y has not if it does not move


@pytest.mark.parametrize("moved", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_an_order_has_these_results_every_time_it_runs(order, moved):
    data = numbers(moved)
    run, wanted = ORDERS[order](function, data), expected(data)
    for _ in range(2):
        found = run()
        names = set(NAMES[order].split()) - ({INNER.get(order)} if moved == 1 else set())
        assert found.keys() == names
        for name, result in found.items():
            assert not result.requires_grad
            torch.testing.assert_close(result, wanted[name], rtol=1e-12, atol=1e-12)


def test_what_is_not_trained_has_no_gradient():
    data = numbers(1)
    frozen = Data(
        operands=data.operands, cotangent=data.cotangent, tangents=data.tangents, trained=1
    )
    assert ORDERS["reverse-reverse"](function, frozen)().keys() == {"y", "d0", "g0", "gu"}


def test_what_does_not_enter_a_derivative_has_zeros():
    """As a norm's β in the gradient with respect to x."""
    results = ORDERS["reverse-reverse"](lambda x, y: function(x, x) + y[:3], numbers(1))()
    assert results["g1"].eq(0).all() and results["g0"].ne(0).any()
