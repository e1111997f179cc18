"""How an operator says what it makes of dual numbers."""

import torch

from latentgeo.core.dual import Dual, jvp
from latentgeo.kernels.wiring.duals import by_hand, parts, transforming


def test_calls_with_dual_numbers_are_answered_by_hand():
    """Plain tensors reach the function; a dual number, in any place, its rule."""

    @by_hand(lambda x, y: torch.cat([x.stacked[:1], y.stacked[1:]]))
    def f(x, y):
        return x + y

    x = torch.ones(1, 2)
    torch.testing.assert_close(f(x, x), 2 * x)
    y, y_dot = jvp(lambda d: f(d, y=2 * d), x, 3 * x)
    torch.testing.assert_close((y, y_dot), (x, 6 * x))
    assert f.__name__ == "f"


def test_parts():
    """The halves of a dual number, and None for the tangent of a tensor."""
    plain, stacked = torch.ones(2), torch.arange(4.0)
    primals, tangents = parts([Dual(stacked), plain])
    torch.testing.assert_close(primals, [stacked[:2], plain])
    torch.testing.assert_close(tangents[0], stacked[2:])
    assert tangents[1] is None


def test_transforming():
    assert not transforming()
    assert torch.func.vmap(lambda x: x * transforming())(torch.ones(2)).tolist() == [1, 1]
