"""Every op that shares this wiring, in every order, against autograd of its formula written out.

A few lines over 300: every order goes over the one table of operators.
"""

from functools import partial

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, jacfwd, jacrev, jvp, vmap
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from latentgeo.kernels.chart.op import over_metric, over_sqrt_metric, times_metric, to_sphere
from latentgeo.kernels.chart.reference import Scale, ToSphere
from latentgeo.kernels.gates.op import geglu, silu
from latentgeo.kernels.gates.reference import Geglu, Silu
from latentgeo.kernels.norms.op import group_norm, group_norm_silu, layer_norm
from latentgeo.kernels.norms.reference import Norm
from latentgeo.kernels.reductions.op import sample_dot, sample_square_norm, trace_ratio
from latentgeo.kernels.reductions.reference import Dot, SquareNorm, TraceRatio
from latentgeo.kernels.wiring.op import real

RADIUS = torch.tensor([1.3, 2.1], dtype=torch.float64)


def written_norm(rows, weight, bias):
    centred = rows - rows.mean((-2, -1), keepdim=True)
    variance = (centred**2).mean((-2, -1), keepdim=True)
    return weight * centred / (variance + 1e-5) ** 0.5 + bias


def written_group_norm(x, weight, bias):
    rows, weight, bias = x.reshape(2, 3, 2, 5), weight.reshape(3, 2, 1), bias.reshape(3, 2, 1)
    return written_norm(rows, weight, bias).reshape(x.shape)


def written_silu(x):
    return x / (1 + torch.exp(-x))


def written_geglu(x):
    a, b = x[..., :3], x[..., 3:]
    return a * b * torch.distributions.Normal(0.0, 1.0).cdf(b)


def written_sphere(z):
    square, r = (z**2).sum(1, keepdim=True), RADIUS[:, None]
    return r / (square + r**2) * torch.cat([2 * r * z, square - r**2], 1)


def written_scaling(power):
    def scaled(v, z):
        return v * (4 * RADIUS**4 / ((z**2).sum(1) + RADIUS**2) ** 2)[:, None] ** power

    return scaled


def square_norms(x):
    return (x**2).flatten(1).sum(1)


NORM = [(2, 6, 5), (6,), (6,)]
OPS = {  # name: op, its formula, the class behind it, the shapes of its operands
    "group_norm": (lambda x, w, b: group_norm(x, 3, w, b), written_group_norm, Norm, NORM),
    "group_norm_silu": (
        lambda x, w, b: group_norm_silu(x, 3, w, b),
        lambda x, w, b: written_silu(written_group_norm(x, w, b)),
        Norm,
        NORM,
    ),
    "layer_norm": (
        layer_norm,
        lambda x, w, b: written_norm(x[..., None, :], w, b)[..., 0, :],
        Norm,
        [(2, 3, 5), (5,), (5,)],
    ),
    "silu": (silu, written_silu, Silu, [(2, 5, 3)]),
    "geglu": (geglu, written_geglu, Geglu, [(2, 5, 6)]),
    "sample_dot": (sample_dot, lambda x, y: (x * y).sum((1, 2)), Dot, [(2, 5, 3)] * 2),
    "sample_square_norm": (sample_square_norm, square_norms, SquareNorm, [(2, 5, 3)]),
    "trace_ratio": (
        trace_ratio,
        lambda r, s: square_norms(r).mean() / square_norms(s).mean() ** 2,
        TraceRatio,
        [(2, 5), (2, 3, 7)],
    ),
    "to_sphere": (lambda z: to_sphere(z, RADIUS), written_sphere, ToSphere, [(2, 5)]),
}
for scaling, power in ((times_metric, 1), (over_sqrt_metric, -0.5), (over_metric, -1)):
    at_radius = partial(scaling, radius=RADIUS)
    OPS[scaling.__name__] = (at_radius, written_scaling(power), Scale, [(2, 5)] * 2)
ORDERS = [(jacrev, jacrev), (jacrev, jacfwd), (jacfwd, jacrev)]  # the outer one, the inner one
each_op = pytest.mark.parametrize("name", OPS)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def operands(name, leaf=False):
    shapes = OPS[name][3]
    return tuple(normal(*s, seed=i).requires_grad_(leaf) for i, s in enumerate(shapes))


def assert_equal(got, wanted, tolerance=1e-12):
    for a, b in zip(tree_leaves(got), tree_leaves(wanted), strict=True):
        scale = b.detach().abs().max().item() or 1.0
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


@each_op
@pytest.mark.parametrize("mode", [jacrev, jacfwd])
def test_value_and_first_derivatives(name, mode):
    """The value and the Jacobian in every operand, reverse and forward."""
    op, written, _, shapes = OPS[name]
    x, every = operands(name), tuple(range(len(shapes)))
    assert_equal(op(*x), written(*x))
    assert_equal(mode(op, every)(*x), jacrev(written, every)(*x))


@each_op
@pytest.mark.parametrize(("outer", "inner"), ORDERS)
def test_second_derivatives(name, outer, inner):
    """Every block of the Hessian of Σ c y + y², between all operands, in three orders."""
    op, written, _, shapes = OPS[name]
    x, every = operands(name), tuple(range(len(shapes)))
    c = normal(*written(*x).shape, seed=5)

    def loss(f):
        return lambda *p: (c * f(*p) + f(*p) ** 2).sum()

    wanted = jacrev(jacrev(loss(written), every), every)(*x)
    assert_equal(outer(inner(loss(op), every), every)(*x), wanted)


@each_op
def test_zeros_that_lie_nowhere(name):
    """Autograd's ZeroTensor as a cotangent and as a tangent: what kernels read is there."""
    op, _, _, shapes = OPS[name]
    x = operands(name, leaf=True)
    y = op(*x)
    zeros = torch._efficientzerotensor(y.shape, dtype=y.dtype)
    for gradient in torch.autograd.grad(y, x, zeros):
        assert torch.equal(gradient, torch.zeros_like(gradient))
    flat = [torch._efficientzerotensor(s, dtype=y.dtype) for s in shapes]
    points = tuple(each.detach() for each in x)
    assert torch.func.jvp(op, points, tuple(flat))[1].count_nonzero() == 0
    assert real((zeros, [zeros], None))[1][0].data_ptr() != 0


@each_op
def test_gradcheck(name):
    """Finite differences of the values and of the first derivatives, also batched."""
    op, x = OPS[name][0], operands(name, leaf=True)
    options = {"fast_mode": True, "atol": 1e-4, "rtol": 1e-3}
    assert gradcheck(op, x, check_forward_ad=True, **options)
    assert gradgradcheck(op, x, check_fwd_over_rev=True, check_rev_over_rev=True, **options)
    assert gradcheck(op, x, check_batched_grad=True)


@each_op
def test_dual_numbers_have_a_graph(name):
    """`forward_ad.dual_level`, then backward through the tangent and the value."""

    def gradients(f):
        x = operands(name, leaf=True)
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(p, normal(*p.shape, seed=7)) for p in x]
            value, tangent = forward_ad.unpack_dual(f(*duals))
            return torch.autograd.grad(value.sum() + (tangent**2).sum(), x)

    assert_equal(gradients(OPS[name][0]), gradients(OPS[name][1]))


@each_op
@pytest.mark.parametrize("axis", [0, 1])
def test_vmap(name, axis):
    """A batch of each operand alone, of all, and of one inside of one of another."""
    op, written, _, shapes = OPS[name]
    x = operands(name)
    for i, shape in enumerate(shapes):
        in_dims = tuple(axis if i == j else None for j in range(len(x)))
        stacked = (*x[:i], normal(4, *shape).movedim(0, axis), *x[i + 1 :])
        assert_equal(vmap(op, in_dims)(*stacked), vmap(written, in_dims)(*stacked))
    stacked = tuple(normal(4, *shape).movedim(0, axis) for shape in shapes)
    assert_equal(vmap(op, axis)(*stacked), vmap(written, axis)(*stacked))


@each_op
def test_vmap_of_derivatives(name):
    """Tangents inside of points, points inside of tangents, tangents of gradients."""
    op, written, _, shapes = OPS[name]
    x, points, tangents = operands(name), normal(4, *shapes[-1]), normal(3, *shapes[0])

    def push(f, point, tangent):
        if len(shapes) == 1:
            return jvp(f, (point,), (tangent,))[1]
        return jvp(lambda p: f(p, *x[1:-1], point), x[:1], (tangent,))[1]

    def pull(f, tangent):
        return jvp(grad(lambda p: (f(p, *x[1:]) ** 3).sum()), x[:1], (tangent,))

    def all_of(f):
        each_point = vmap(lambda p: vmap(lambda t: push(f, p, t))(tangents))(points)
        each_tangent = vmap(lambda t: vmap(lambda p: push(f, p, t))(points))(tangents)
        return each_point, each_tangent, vmap(lambda t: pull(f, t))(tangents)

    assert_equal(all_of(op), all_of(written))


@each_op
def test_reverse_over_batched_tangents(name):
    """The gradient of Σ ‖J t‖² over a batch of t adds up over the batch."""
    x, tangents = operands(name), normal(3, *OPS[name][3][0])

    def loss(f):
        def length(*p):
            pushed = vmap(lambda t: jvp(lambda q: f(q, *p[1:]), p[:1], (t,))[1])(tangents)
            return (pushed**2).sum()

        return grad(length, tuple(range(len(x))))(*x)

    assert_equal(loss(OPS[name][0]), loss(OPS[name][1]))


@each_op
def test_batched_cotangents_of_autograd(name):
    """`is_grads_batched`, which is another vmap than that of torch.func."""
    op, written, *_ = OPS[name]

    def pulled(f):
        x = operands(name, leaf=True)
        y = f(*x)
        return torch.autograd.grad(y, x, normal(3, *y.shape), is_grads_batched=True)

    assert_equal(pulled(op), pulled(written))


@each_op
def test_tangents_share_one_pass_over_the_point(name, monkeypatch):
    """A batch of tangents is one call of `forward` and one of `jvp`."""
    op, _, kind, shapes = OPS[name]
    calls, x = recorded(monkeypatch, kind, "forward", "jvp", "vjp", "hvp"), operands(name)
    vmap(lambda t: jvp(lambda p: op(p, *x[1:]), x[:1], (t,)))(normal(4, *shapes[0]))
    assert [order for order, _ in calls] == ["forward", "jvp"]


def recorded(monkeypatch, kind, *orders):
    """Return a list that will hold (order, result) of each call of these closed forms."""
    calls = []

    def record(order, method):
        def call(self, *args):
            calls.append((order, method(self, *args)))
            return calls[-1][1]

        monkeypatch.setattr(kind, order, call)

    for order in orders:
        record(order, getattr(kind, order))
    return calls


@each_op
def test_nothing_loses_its_graph(name):
    """What is differentiated with a graph has one, and what is not has none."""
    op, x = OPS[name][0], operands(name, leaf=True)
    y = op(*x)
    gradients = torch.autograd.grad(y.sum(), x, create_graph=True)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(p, normal(*p.shape, seed=7)) for p in x]
        tangent = forward_ad.unpack_dual(op(*duals)).tangent
    assert all(result.requires_grad for result in (y, tangent, *gradients))
    assert not op(*operands(name)).requires_grad


@each_op
def test_third_order_raises(name):
    """Orders that do not exist say so, instead of coming back as zero."""
    op = OPS[name][0]
    x = operands(name, leaf=True)
    first = torch.autograd.grad((op(*x) ** 3).sum(), x, create_graph=True)
    second = torch.autograd.grad(sum((g**2).sum() for g in first), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first and second derivatives"):
        torch.autograd.grad(sum((g**2).sum() for g in second), x)
    x, t = operands(name), normal(*OPS[name][3][0])
    with pytest.raises(RuntimeError, match="without forward over forward"):
        jvp(lambda q: jvp(lambda p: op(p, *x[1:]), (q,), (t,))[1], x[:1], (t,))


@each_op
def test_checkpoint(name):
    """Non-reentrant checkpointing, differentiated twice."""

    def second(f):
        x = operands(name, leaf=True)
        y = checkpoint(f, *x, use_reentrant=False)
        first = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), x)

    assert_equal(second(OPS[name][0]), second(OPS[name][1]))


@pytest.mark.parametrize("name", ["group_norm_silu", "sample_dot", "over_metric"])
def test_what_is_not_asked_for_is_not_computed(name, monkeypatch):
    """A frozen operand's gradient is None already in the closed form."""
    op, _, kind, _ = OPS[name]
    calls, x = recorded(monkeypatch, kind, "vjp", "hvp"), operands(name)
    moving = x[0].clone().requires_grad_()
    (first,) = torch.autograd.grad((op(moving, *x[1:]) ** 2).sum(), moving, create_graph=True)
    torch.autograd.grad((first**2).sum(), moving)
    assert len(calls) == 3
    for _, result in calls:
        assert sum(gradient is not None for gradient in result) <= 1
