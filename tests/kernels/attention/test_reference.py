"""The closed forms of attention against autograd through PyTorch's own softmax, in float64."""

import pytest
import torch

from latentgeo.kernels.attention import reference
from latentgeo.kernels.attention.reference import Primal, composed

B, H, N, M, D = 2, 3, 5, 7, 11
SCALE = 0.4
EVERYTHING = (True, True, True)
MASKS = {
    "none": (None, False),
    "causal": (None, True),
    "bool": (torch.rand(B, 1, N, M, generator=torch.Generator().manual_seed(3)) > 0.4, False),
    "additive": (torch.linspace(-2, 2, H * M, dtype=torch.float64).reshape(1, H, 1, M), False),
    "both": (torch.tensor([True, False, True, True, True, False, True])[None, None, None], True),
}


@pytest.fixture(params=MASKS)
def case(request):
    """q, k and v, a cotangent and a tangent, the mask and whether it is causal."""
    generator = torch.Generator().manual_seed(0)

    def rows(length):
        return torch.randn(B, H, length, D, generator=generator, dtype=torch.float64)

    qkv = (rows(N), rows(M), rows(M))
    return qkv, rows(N), (rows(N), rows(M), rows(M)), *MASKS[request.param]


def primal_of(qkv, mask, causal):
    return Primal(*qkv, mask, causal, SCALE, *reference.forward(*qkv, mask, causal, SCALE))


def function_of(mask, causal):
    return lambda q, k, v: composed(q, k, v, mask, causal, SCALE)


def close(got, wanted):
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_forward_is_the_softmax(case):
    (q, k, v), _, _, mask, causal = case
    logits = SCALE * torch.einsum("bhnd,bhmd->bhnm", q, k)
    bias = torch.zeros(1) if mask is None else mask
    if bias.dtype == torch.bool:
        bias = torch.zeros(bias.shape).masked_fill(~bias, -torch.inf)
    logits = logits + bias
    if causal:
        logits = logits.masked_fill(~torch.ones(N, M).tril().bool(), -torch.inf)
    o, lse = reference.forward(q, k, v, mask, causal, SCALE)
    c = 0 if mask is None or mask.dtype == torch.bool else mask.amax(-1)
    close([o, lse], [logits.softmax(-1) @ v, logits.logsumexp(-1) - c])
    close([composed(q, k, v, mask, causal, SCALE)], [o])


@pytest.fixture
def formulas(monkeypatch):
    """Have the formulas computed as they are written, not by `kernels/attention/cpu.py`."""
    monkeypatch.setattr("latentgeo.kernels.attention.cpu.fits", lambda *_: False)


def test_jvp_is_the_forward_derivative(case, formulas):
    qkv, _, tangent, mask, causal = case
    o_dot, mu = reference.jvp(primal_of(qkv, mask, causal), tangent)
    close([o_dot], torch.func.jvp(function_of(mask, causal), qkv, tangent)[1:])
    lse = torch.func.jvp(
        lambda q, k: reference.forward(q, k, qkv[2], mask, causal, SCALE)[1], qkv[:2], tangent[:2]
    )
    close([mu], lse[1:])


def test_vjp_is_the_reverse_derivative(case):
    qkv, u, _, mask, causal = case
    got = reference.vjp(primal_of(qkv, mask, causal), u, EVERYTHING)
    close(got, torch.func.vjp(function_of(mask, causal), *qkv)[1](u))


def test_hvp_is_the_gradient_of_the_jvp(case):
    qkv, u, tangent, mask, causal = case
    primal = primal_of(qkv, mask, causal)

    def pairing(*qkv):
        return (u * torch.func.jvp(function_of(mask, causal), qkv, tangent)[1]).sum()

    got = reference.hvp(primal, u, tangent, *reference.jvp(primal, tangent), EVERYTHING)
    close(got, torch.func.grad(pairing, argnums=(0, 1, 2))(*qkv))


@pytest.mark.parametrize("given", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)])
def test_a_tangent_of_none_is_zero(case, given):
    qkv, u, tangent, mask, causal = case
    primal = primal_of(qkv, mask, causal)
    with_none = tuple(x if there else None for x, there in zip(tangent, given, strict=True))
    zeros = tuple(x * there for x, there in zip(tangent, given, strict=True))
    o_dot, mu = reference.jvp(primal, with_none)
    close([o_dot, mu], reference.jvp(primal, zeros))
    got = reference.hvp(primal, u, with_none, o_dot, mu, EVERYTHING)
    close(got, reference.hvp(primal, u, zeros, o_dot, mu, EVERYTHING))


def test_what_is_not_wanted_is_none(case):
    qkv, u, tangent, mask, causal = case
    primal = primal_of(qkv, mask, causal)
    for place in range(3):
        wanted = tuple(i == place for i in range(3))
        d = reference.vjp(primal, u, wanted)
        g = reference.hvp(primal, u, tangent, *reference.jvp(primal, tangent), wanted)
        assert [x is not None for x in d] == [x is not None for x in g] == list(wanted)


def test_probes_are_a_loop(case):
    qkv, u, tangent, mask, causal = case
    primal = primal_of(qkv, mask, causal)
    u, *tangent = (torch.cat([x, 2 * x.flip(0), x.sin()]) for x in (u, *tangent))
    o_dot, mu = reference.jvp(primal, tangent)
    d = reference.vjp(primal, u, EVERYTHING)
    g = reference.hvp(primal, u, tangent, o_dot, mu, EVERYTHING)
    for probe in (slice(0, B), slice(B, 2 * B), slice(2 * B, None)):
        one = [x[probe] for x in tangent]
        o_one, mu_one = reference.jvp(primal, one)
        close([o_dot[probe], mu[probe]], [o_one, mu_one])
        close([x[probe] for x in d], reference.vjp(primal, u[probe], EVERYTHING))
        alone = reference.hvp(primal, u[probe], one, o_one, mu_one, EVERYTHING)
        close([x[probe] for x in g], alone)


def test_rows_that_attend_to_nothing_are_zero_in_every_order():
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 1, 3, 2, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, False, True], [False] * 3, [True] * 3])[None, None]
    primal = primal_of((q, k, v), mask, False)
    o_dot, mu = reference.jvp(primal, (k, v, q))
    g = reference.hvp(primal, v, (k, v, q), o_dot, mu, EVERYTHING)
    d = reference.vjp(primal, v, EVERYTHING)
    for rows in (primal.o, o_dot, d[0], g[0], composed(q, k, v, mask, False, SCALE)):
        assert rows[0, 0, 1].eq(0).all() and rows[0, 0, 0].ne(0).any()
    assert all(x.isfinite().all() for x in (*d, *g))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_round_only_at_the_end(case, dtype, formulas):
    qkv, u, _, mask, causal = case
    q, k, v, u = (x.to(dtype) for x in (*qkv, u))
    primal = primal_of((q, k, v), mask, causal)
    wide = Primal(
        *(x.float() for x in (q, k, v)), mask, causal, SCALE, primal.o.float(), primal.lse
    )
    assert primal.o.dtype == dtype and primal.lse.dtype == torch.float32
    got = reference.vjp(primal, u, EVERYTHING)
    wanted = (x.to(dtype) for x in reference.vjp(wide, u.float(), EVERYTHING))
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)
