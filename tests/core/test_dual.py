"""Forward mode on stacked pairs, held against PyTorch's own and against finite differences."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from latentgeo.core.dual import Dual, jvp
from tests.tensors import normal

B, C, H, W = 3, 5, 4, 6


WEIGHT, BIAS, CONSTANT = normal(C, C, 3, 3), normal(C), normal(1, C, 1, 1, seed=1)
ROWS, FULL = normal(B, 1, 1, 1, seed=2), normal(B, C, H, W, seed=3)
FUNCTIONS = {
    "convolution": lambda x: F.conv2d(x, WEIGHT, BIAS, padding=1),
    "strided": lambda x: F.conv2d(x, WEIGHT, None, 2),
    "matrix": lambda x: F.linear(x.transpose(1, 3), WEIGHT[:, :, 0, 0], BIAS),
    "keywords": lambda x: F.conv2d(x, weight=WEIGHT, bias=BIAS),
    "plus": lambda x: x + CONSTANT,
    "minus": lambda x: ROWS - x - 2 - FULL,
    "one less": lambda x: 1 - x,
    "sum": lambda x: x + x.square() - x[:, :1],
    "times": lambda x: 3 * x * ROWS * CONSTANT * x.sigmoid(),
    "quotient": lambda x: CONSTANT * x / ROWS / 2,
    "wider constant": lambda x: x[:, :1] + FULL,
    "wider factor": lambda x: x[:, :1] * FULL,
    "inverse": lambda x: 2 / (3 + x.square()),
    "negative": lambda x: -x,
    "joined": lambda x: torch.cat([x, x.tanh()], dim=1),
    "joined with constant": lambda x: torch.cat([FULL, x], dim=1),
    "joined samples": lambda x: torch.cat([x, x])[2:5],
    "flat": lambda x: x.flatten(2).transpose(1, 2),
    "all flat": lambda x: x.flatten(),
    "unflat": lambda x: x.unflatten(1, (1, C)).unflatten(-1, (2, 3)),
    "reshaped": lambda x: x.reshape(1, B, C, H * W).squeeze(0).reshape((B, -1)),
    "unsqueezed": lambda x: x.unsqueeze(0).squeeze(0).unsqueeze(-1),
    "chunks": lambda x: x.chunk(2, dim=-1)[1] * x.chunk(2, -1)[0],
    "index": lambda x: x[:, :, None, 1:] + x[..., 0:1, :].unsqueeze(2),
    "first sample": lambda x: x[0],
    "interpolated": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
    "padded": lambda x: F.pad(x, (0, 1, 0, 1)),
    "several": lambda x: torch.stack(x.sin().split(3, dim=-1)),
    "softmax": lambda x: x.softmax(1),
    "layer norm": lambda x: F.layer_norm(x, (H, W)),
    "group norm": lambda x: F.silu(F.group_norm(x, 1, BIAS, BIAS)),
    "mean": lambda x: x.mean((2, 3), keepdim=True) * x,
    "other dtype": lambda x: x.to(torch.float32).double() + torch.zeros_like(x),
}


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_rule_is_the_derivative(f):
    """Value, tangent and the gradient of ‖Jẋ‖² in x and ẋ are those of torch.func."""
    x, t = normal(B, C, H, W).requires_grad_(), normal(B, C, H, W, seed=4).requires_grad_()
    y, y_dot = jvp(f, x, t)
    wanted, wanted_dot = torch.func.jvp(f, (x,), (t,))
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(y_dot, wanted_dot)
    if f is FUNCTIONS["layer norm"]:
        return  # torch's own gradient is wrong there
    got = torch.autograd.grad(y_dot.square().sum() + y.sum(), (x, t), allow_unused=True)
    kept = torch.autograd.grad(wanted_dot.square().sum() + wanted.sum(), (x, t), allow_unused=True)
    torch.testing.assert_close(got[1], kept[1])
    torch.testing.assert_close(0 * x if got[0] is None else got[0], kept[0])


def test_layer_norm_is_right_where_torch_is_not():
    """The gradient of ‖Jẋ‖² through F.layer_norm is that of finite differences."""
    x, t, direction = (normal(B, C, seed=seed) for seed in range(3))

    def loss(x):
        return jvp(lambda x: F.layer_norm(x, (C,), BIAS, BIAS), x, t)[1].square().sum()

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    slope = (loss(x + 1e-6 * direction) - loss(x - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=0)


class Network(nn.Module):
    """A layer of each kind, with a second use of one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1)
        self.matrix = nn.Linear(W, W)
        self.double()

    def forward(self, x):
        return self.conv(self.matrix(F.silu(self.conv(x))))


def test_gradients_in_the_weights_to_second_order():
    """Weights and biases, first and once more, are those of torch.func."""
    torch.manual_seed(0)
    network, x, t = Network(), normal(B, C, H, W), normal(B, C, H, W, seed=1)
    weights = list(network.parameters())

    def gradients(y, y_dot):
        first = torch.autograd.grad((y * y_dot).sum(), weights, create_graph=True)
        return first, torch.autograd.grad(sum(g.square().sum() for g in first), weights)

    got, wanted = gradients(*jvp(network, x, t)), gradients(*torch.func.jvp(network, (x,), (t,)))
    torch.testing.assert_close(got, wanted)


class Convolutions(TorchDispatchMode):
    """Records the number of samples of every convolution that runs."""

    def __init__(self):
        super().__init__()
        self.samples = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.samples.append(len(args[0]))
        return func(*args, **(kwargs or {}))


def test_a_linear_layer_runs_once_on_both_halves():
    """One convolution of 2B samples, where PyTorch's forward mode takes several of B."""
    x = normal(B, C, H, W)
    with Convolutions() as ours:
        jvp(Network(), x, x)
    with Convolutions() as theirs:
        torch.func.jvp(Network(), (x,), (x,))
    assert ours.samples == [2 * B] * 2
    assert sum(theirs.samples) > sum(ours.samples)


def test_what_does_not_depend_on_x_has_no_tangent():
    x = normal(B, C)
    y, y_dot = jvp(lambda x: torch.ones(B, 2, dtype=x.dtype), x, x)
    assert y.tolist() == [[1, 1]] * B
    assert not y_dot.any()


def test_several_results():
    """A tuple in, a tuple out."""
    x, t = normal(B, C), normal(B, C, seed=1)
    (a, b), (a_dot, b_dot) = jvp(lambda x: (x.square(), x + 1), x, t)
    torch.testing.assert_close((a, b, a_dot, b_dot), (x * x, x + 1, 2 * x * t, t))


def test_it_looks_like_the_primal():
    x = Dual(normal(2 * B, C, H, W))
    assert (x.shape, len(x), x.ndim, x.size(1)) == ((B, C, H, W), B, 4, C)
    assert x.dtype == torch.float64
    assert x.new_zeros(2).shape == (2,)
    assert "0." in repr(x)
    assert normal(B).float().to(x).dtype == torch.float64


def test_a_rule_by_hand():
    """An attribute of the function decides, not what the function is made of."""

    def f(x):
        return torch.overrides.handle_torch_function(f, (x,), x)

    f.on_duals = lambda x: torch.cat([x.halves[0], 7 * x.halves[1]])
    x = normal(B, C)
    torch.testing.assert_close(jvp(f, x, x), (x, 7 * x))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1),
        lambda x: F.relu(x, inplace=True),
        lambda x: x.__setitem__(0, 1),
        lambda x: torch.sin(x, out=torch.empty(B, C)),
    ],
)
def test_changes_in_place_are_refused(change):
    with pytest.raises(RuntimeError, match="in place"):
        jvp(change, normal(B, C), normal(B, C))


def test_a_tangent_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"tangent must be like x, \(3, 5\) of torch.float64"):
        jvp(torch.sin, normal(B, C), normal(B, C).float())
