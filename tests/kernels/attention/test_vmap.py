"""Batches of vmap, whatever is batched and however deep, against a loop."""

import pytest
import torch
from torch.func import grad, jvp, vjp, vmap

from latentgeo.kernels.attention.op import attention

B, H, N, M, D, S = 2, 1, 3, 4, 5, 3
SHAPES = {
    "q": (B, H, N, D),
    "k": (B, H, M, D),
    "v": (B, H, M, D),
    "u": (B, H, N, D),
    "q_dot": (B, H, N, D),
    "k_dot": (B, H, M, D),
    "v_dot": (B, H, M, D),
    "mask": (B, 1, N, M),
}
SETS = {
    "cotangent": {"u"},
    "a tangent": {"k_dot"},
    "tangents": {"q_dot", "k_dot", "v_dot"},
    "queries": {"q"},
    "primal": {"q", "k", "v"},
    "mask": {"mask"},
    "mask and tangents": {"mask", "q_dot", "k_dot", "v_dot"},
    "everything": set(SHAPES),
}


def first(q, k, v, u, q_dot, k_dot, v_dot, mask):
    o, o_dot = jvp(lambda *qkv: attention(*qkv, mask), (q, k, v), (q_dot, k_dot, v_dot))
    return o, o_dot, *vjp(lambda *qkv: attention(*qkv, mask), q, k, v)[1](u)


def forward_over_reverse(q, k, v, u, q_dot, k_dot, v_dot, mask):
    def pulled(*qkv):
        return vjp(lambda *qkv: attention(*qkv, mask), *qkv)[1](u)

    return jvp(pulled, (q, k, v), (q_dot, k_dot, v_dot))[1]


def reverse_over_forward(q, k, v, u, q_dot, k_dot, v_dot, mask):
    def pairing(qkv, t):
        return (u * jvp(lambda *qkv: attention(*qkv, mask), qkv, t)[1]).sum()

    in_primal, in_tangent = grad(pairing, argnums=(0, 1))((q, k, v), (q_dot, k_dot, v_dot))
    return *in_primal, *in_tangent


ORDERS = [first, forward_over_reverse, reverse_over_forward]


def arguments(batched, sizes=(S,)):
    generator = torch.Generator().manual_seed(0)
    for name, shape in SHAPES.items():
        shape = (*sizes, *shape) if name in batched else shape
        yield torch.randn(shape, generator=generator, dtype=torch.float64)


def same(many, one, i):
    for a, b in zip(many, one, strict=True):
        torch.testing.assert_close(a[i], b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("batched", SETS.values(), ids=SETS)
def test_vmap_is_a_loop(batched, order):
    values = list(arguments(batched))
    dims = tuple(0 if name in batched else None for name in SHAPES)
    many = vmap(order, in_dims=dims)(*values)
    for i in range(S):
        same(many, order(*(x if d is None else x[i] for x, d in zip(values, dims, strict=True))), i)


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_of_probes_of_a_batch_of_points(order):
    """Outside a dimension of everything, inside one of cotangent and tangents only."""
    probes = {"u", "q_dot", "k_dot", "v_dot"}
    values = list(arguments(SHAPES))
    extra = [
        torch.stack([x, x.sin()], 1) if n in probes else x
        for n, x in zip(SHAPES, values, strict=True)
    ]
    inner = vmap(order, in_dims=tuple(0 if name in probes else None for name in SHAPES))
    many = vmap(inner)(*extra)
    for i in range(S):
        for j, f in enumerate((lambda x: x, torch.sin)):
            one = order(
                *(f(x[i]) if n in probes else x[i] for n, x in zip(SHAPES, values, strict=True))
            )
            same(many, one, (i, j))


def test_dimensions_anywhere():
    q, k, v, u, *_ = arguments({"q", "k", "u"})
    moved = vmap(lambda q, k, u: vjp(attention, q, k, v)[1](u), in_dims=(2, -1, 1))(
        q.movedim(0, 2), k.movedim(0, -1), u.movedim(0, 1)
    )
    same(moved, vjp(attention, q[1], k[1], v)[1](u[1]), 1)


def test_a_gradient_through_many_tangents():
    """Σ_r ‖J t_r‖², whose gradient in the primal adds up the probes."""
    q, k, v, _, q_dot, *_ = arguments({"q_dot"})

    def loss(k, tangents):
        o_dot = vmap(lambda t: jvp(lambda q: attention(q, k, v), (q,), (t,))[1])(tangents)
        return o_dot.square().sum()

    in_k, in_tangents = grad(loss, argnums=(0, 1))(k, q_dot)
    one_by_one = [grad(loss, argnums=(0, 1))(k, q_dot[i : i + 1]) for i in range(S)]
    torch.testing.assert_close(in_k, sum(g for g, _ in one_by_one), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(in_tangents, torch.cat([t for _, t in one_by_one]))
