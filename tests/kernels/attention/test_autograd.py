"""Every order and mode of differentiation against PyTorch's own softmax, in float64."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

from latentgeo.kernels.attention import reference as attention_reference
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.attention.reference import composed
from tests.tensors import normal as rows

B, H, N, M, D = 2, 3, 5, 7, 4
MASK = torch.rand(B, 1, N, M, generator=torch.Generator().manual_seed(2)) > 0.3
MASK[0, 0, 1] = False


QKV = rows(B, H, N, D, seed=1), rows(B, H, M, D, seed=2), rows(B, H, M, D, seed=3)
TANGENT = rows(B, H, N, D, seed=4), rows(B, H, M, D, seed=5), rows(B, H, M, D, seed=6)
U, U_DOT = rows(B, H, N, D, seed=7), rows(B, H, N, D, seed=8)


def ours(q, k, v):
    return attention(q, k, v, MASK, causal=True, scale=0.6)


def theirs(q, k, v):
    return composed(q, k, v, MASK, True, 0.6)


def reverse_over_reverse(f):
    def pairing(*qkv):
        return sum((x * t).sum() for x, t in zip(vjp(f, *qkv)[1](U), TANGENT, strict=True))

    return grad(pairing, argnums=(0, 1, 2))(*QKV)


def reverse_over_reverse_in_the_cotangent(f):
    def pairing(u):
        return sum((x * t).sum() for x, t in zip(vjp(f, *QKV)[1](u), TANGENT, strict=True))

    return (grad(pairing)(U),)


def reverse_over_forward(f):
    def pairing(qkv, tangent):
        o, o_dot = jvp(f, qkv, tangent)
        return (U_DOT * o).sum() + (U * o_dot).sum() + o_dot.square().sum()

    in_primal, in_tangent = grad(pairing, argnums=(0, 1))(QKV, TANGENT)
    return *in_primal, *in_tangent


def forward_over_reverse(f):
    return jvp(lambda u, *qkv: vjp(f, *qkv)[1](u), (U, *QKV), (U_DOT, *TANGENT))[1]


def forward_over_reverse_without_a_cotangents_tangent(f):
    return jvp(lambda *qkv: vjp(f, *qkv)[1](U), QKV, TANGENT)[1]


def forward(f):
    return jvp(f, QKV, TANGENT)


def forward_in_queries(f):
    return jvp(lambda q: f(q, *QKV[1:]), QKV[:1], TANGENT[:1])


def reverse_in_queries(f):
    """Where k and v are constant, as text is to the noise in an image."""
    return grad(lambda q: f(q, *QKV[1:]).pow(3).sum())(QKV[0]), grad(
        lambda q: grad(lambda q: f(q, *QKV[1:]).pow(3).sum())(q).square().sum()
    )(QKV[0])


def raw_forward_then_reverse(f, inside):
    """Leaves with tangents, then backward through o and o_dot, inside of the level or after it."""
    leaves = [x.clone().requires_grad_() for x in QKV]
    with forward_ad.dual_level():
        duals = (forward_ad.make_dual(x, t) for x, t in zip(leaves, TANGENT, strict=True))
        o, o_dot = forward_ad.unpack_dual(f(*duals))
        loss = (U_DOT * o).sum() + o_dot.square().sum()
        if inside:
            return torch.autograd.grad(loss, leaves)
    return torch.autograd.grad(loss, leaves)


def isometry(f):
    """Jᵀ J v, and a gradient through it."""

    def loss(q):
        g = lambda q: f(q, *QKV[1:])  # noqa: E731
        o_dot = jvp(g, (q,), TANGENT[:1])[1]
        return vjp(g, q)[1](o_dot.detach())[0].square().sum() + o_dot.pow(4).sum()

    return (grad(loss)(QKV[0]),)


def through_a_checkpoint(f):
    leaves = [x.clone().requires_grad_() for x in QKV]
    o = checkpoint(f, *leaves, use_reentrant=False)
    first = torch.autograd.grad(o.pow(3).sum(), leaves, create_graph=True)
    return *first, *torch.autograd.grad(sum(x.pow(2).sum() for x in first), leaves)


WAYS = [
    forward,
    forward_in_queries,
    forward_over_reverse,
    forward_over_reverse_without_a_cotangents_tangent,
    isometry,
    reverse_in_queries,
    reverse_over_forward,
    reverse_over_reverse,
    reverse_over_reverse_in_the_cotangent,
    through_a_checkpoint,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_orders(way):
    for got, wanted in zip(way(ours), way(theirs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inside", [False, True])
def test_raw_forward_then_reverse(inside):
    """PyTorch's own softmax raises here, so torch.func stands in for it."""

    def loss(*qkv):
        o, o_dot = jvp(theirs, qkv, TANGENT)
        return (U_DOT * o).sum() + o_dot.square().sum()

    wanted = grad(loss, argnums=(0, 1, 2))(*QKV)
    for a, b in zip(raw_forward_then_reverse(ours, inside), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(masked):
    qkv = [rows(2, 1, n, 2, seed=n).requires_grad_() for n in (3, 4, 4)]
    mask = torch.tensor([[True, False, True, True], [False] * 4, [True] * 4]) if masked else None

    def f(q, k, v):
        return attention(q, k, v, mask)

    assert gradcheck(f, qkv, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(f, qkv, check_fwd_over_rev=True, check_batched_grad=True)


def test_no_derivative_loses_its_graph():
    q, k, v = (x.clone().requires_grad_() for x in QKV)
    o = ours(q, k, v)
    first = torch.autograd.grad(o.square().sum(), (q, k, v), create_graph=True)
    assert all(x.requires_grad for x in (o, *first))
    with forward_ad.dual_level():
        dual = ours(forward_ad.make_dual(q, TANGENT[0]), k, v)
        tangent = forward_ad.unpack_dual(dual).tangent
        (d,) = torch.autograd.grad(dual.square().sum(), k, create_graph=True)
        assert tangent.requires_grad
        assert forward_ad.unpack_dual(d).tangent is not None
    assert not ours(*QKV).requires_grad


def third_in_reverse(f):
    q = QKV[0].clone().requires_grad_()
    (first,) = torch.autograd.grad(f(q, *QKV[1:]).pow(3).sum(), q, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), q, create_graph=True)
    torch.autograd.grad(second.sum(), q)


def third_by_a_tangent_of_a_second(f):
    jvp(lambda q: grad(lambda q: jvp(f, (q, *QKV[1:]), TANGENT)[1].sum())(q), QKV[:1], TANGENT[:1])


def forward_over_forward(f):
    jvp(lambda *qkv: jvp(f, qkv, TANGENT)[1], QKV, TANGENT)


@pytest.mark.parametrize(
    "way", [third_in_reverse, third_by_a_tangent_of_a_second, forward_over_forward]
)
def test_what_there_is_no_derivative_for_raises(way):
    way(lambda q, k, v: (q @ k.mT).tanh() @ v)
    with pytest.raises(RuntimeError, match="attention: there is no derivative beyond the second"):
        way(ours)


@pytest.fixture
def calls(monkeypatch):
    """How often each function of the reference ran."""
    counts = dict.fromkeys(("forward", "jvp", "vjp", "hvp"), 0)

    def counted(name, function):
        def call(*args):
            counts[name] += 1
            return function(*args)

        return call

    for name in counts:
        function = getattr(attention_reference, name)
        monkeypatch.setattr(attention_reference, name, counted(name, function))
    return counts


def test_many_tangents_at_one_point_run_the_primal_once(calls):
    tangents = [torch.stack([t, -t, t.sin(), t.cos()]) for t in TANGENT]
    many = vmap(lambda *t: jvp(ours, QKV, t)[1])(*tangents)
    assert calls == {"forward": 1, "jvp": 1, "vjp": 0, "hvp": 0}
    for i in range(4):
        one = jvp(ours, QKV, tuple(t[i] for t in tangents))[1]
        torch.testing.assert_close(many[i], one, rtol=1e-12, atol=1e-13)


def test_a_backward_runs_nothing_that_is_not_asked_for(calls):
    reverse_in_queries(ours)
    assert calls == {"forward": 2, "jvp": 1, "vjp": 3, "hvp": 1}


def test_constant_keys_and_values_get_no_work(monkeypatch):
    asked = []

    def recorded(primal, u, wanted, function=attention_reference.vjp):
        asked.append(wanted)
        return function(primal, u, wanted)

    monkeypatch.setattr(attention_reference, "vjp", recorded)
    grad(lambda q: ours(q, *QKV[1:]).sum())(QKV[0])
    q, k, v = (x.clone() for x in QKV)
    torch.autograd.grad(ours(q, k.requires_grad_(), v).sum(), k)
    assert asked == [(True, False, False), (False, True, False)]
