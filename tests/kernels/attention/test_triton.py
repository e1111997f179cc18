"""The kernels, in Triton's interpreter, against the closed forms in float64.

What the kernels do not write is NaN here, so a row or a block that one forgets fails.
"""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, jvp, vmap

from latentgeo.kernels.attention import reference
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.attention.reference import Primal
from latentgeo.kernels.attention.tiles import Tile

pytestmark = [
    pytest.mark.interpret,
    pytest.mark.filterwarnings("ignore::RuntimeWarning:triton"),  # in columns that nobody reads
]
EVERYTHING = (True, True, True)
BARS = {  # of the largest entry; the interpreter rounds to bfloat16 by cutting off
    torch.float64: 1e-12,
    torch.float32: 1e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Return the module, which cannot be imported outside of the interpreter's process."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    from latentgeo.kernels.attention import triton as attention_triton

    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    assert torch.empty(1).isnan()
    yield attention_triton
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def square_tiles(kernels, monkeypatch):
    """Tiles of 32 × 32 whatever the width, for fewer programs."""
    monkeypatch.setattr(kernels, "tile", lambda *_: Tile(32, 32))


def tensors(q, k, dtype=torch.float64, probes=1):
    """Return q, k and v, a cotangent and a tangent, for shapes of q and k, of R = probes."""
    generator = torch.Generator().manual_seed(0)

    def rows(batch, heads, length, d, times=1):
        shape = (times * batch, heads, length, d)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    tangent = (rows(*q, probes), rows(*k, probes), rows(*k, probes))
    return (rows(*q), rows(*k), rows(*k)), rows(*q, probes), tangent


def run(module, qkv, u, tangent, mask=None, causal=False, wanted=EVERYTHING):
    """Return all results of all four functions, None where there is none."""
    scale = qkv[0].shape[-1] ** -0.5
    o, lse = module.forward(*qkv, mask, causal, scale)
    primal = Primal(*qkv, mask, causal, scale, o, lse)
    o_dot, mu = module.jvp(primal, tangent)
    d = module.vjp(primal, u, wanted)
    return o, lse, o_dot, mu, *d, *module.hvp(primal, u, tangent, o_dot, mu, wanted)


def check(kernels, qkv, u, tangent, **options):
    """Hold the kernels' results against the reference's in float64, of the same inputs."""
    wide = [None if x is None else x.double() for x in (*qkv, u, *tangent)]
    wanted = run(reference, wide[:3], wide[3], wide[4:], **options)
    got = run(kernels, qkv, u, tangent, **options)
    for a, b in zip(got, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            finite = b.isfinite()
            assert torch.equal(a[~finite].double(), b[~finite])
            error = (a.double() - b)[finite].abs().max() / b[finite].abs().max().clamp(min=1e-3)
            assert error <= BARS[u.dtype]


@pytest.mark.parametrize("dtype", BARS)
def test_types(kernels, dtype):
    """With the tiles of the table for a head of SD 1.5, on its 77 words."""
    check(kernels, *tensors((1, 1, 37, 40), (1, 1, 77, 40), dtype))


@pytest.mark.parametrize("d", [8, 16, 64, 72, 80, 96, 128, 160])
def test_widths(kernels, square_tiles, d):
    check(kernels, *tensors((1, 1, 19, d), (1, 1, 37, d)))


@pytest.mark.parametrize("d, dtype", [(80, torch.float16), (160, torch.bfloat16)])
def test_widths_in_sixteen_bits(kernels, square_tiles, d, dtype):
    check(kernels, *tensors((1, 1, 37, d), (1, 1, 19, d), dtype))


@pytest.mark.parametrize("n, m", [(1, 1), (64, 32), (3, 67), (67, 3), (33, 131)])
def test_lengths(kernels, square_tiles, n, m):
    check(kernels, *tensors((1, 1, n, 16), (1, 1, m, 16)))


def random_mask(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) > 0.5


def with_empty_rows(mask):
    mask = mask.clone()
    mask[..., ::7, :] = False
    return mask


MASKS = {
    "per head": random_mask(1, 2, 19, 37),
    "per sample, of columns": random_mask(2, 1, 1, 37),
    "of rows": random_mask(1, 1, 19, 1),
    "empty rows": with_empty_rows(random_mask(1, 1, 19, 37)),
    "additive": torch.linspace(-5, 5, 2 * 19 * 37).reshape(1, 2, 19, 37),
    "additive, transposed": torch.linspace(-5, 5, 37 * 19).reshape(1, 1, 37, 19).mT,
    "additive and infinite": torch.zeros(1, 1, 19, 37).masked_fill(
        ~with_empty_rows(random_mask(19, 37)), -torch.inf
    ),
    "additive and far": torch.full((1, 1, 1, 37), -3000.0),
    "additive, rows of the least": torch.zeros(1, 1, 19, 37).masked_fill(
        with_empty_rows(random_mask(19, 37)), -1e9
    ),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks(kernels, square_tiles, mask):
    check(kernels, *tensors((2, 2, 19, 8), (2, 2, 37, 8)), mask=mask)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n, m", [(41, 70), (70, 41)])
def test_causal(kernels, square_tiles, masked, n, m):
    mask = with_empty_rows(random_mask(1, 1, n, m)) if masked else None
    check(kernels, *tensors((1, 1, n, 8), (1, 1, m, 8)), mask=mask, causal=True)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("least", [-1e9, torch.finfo(torch.float32).min])
def test_a_row_of_the_least_numbers_is_a_mean(kernels, square_tiles, least, causal):
    """As PyTorch has it, with its derivatives: only -∞ masks a row away."""
    (q, k, v), u, t = tensors((1, 2, 5, 8), (1, 2, 37, 8), torch.float32)
    mask = torch.zeros(1, 1, 5, 37)
    mask[..., 1, :], mask[..., 3, :4] = least, least
    got = run(kernels, (q, k, v), u, t, mask=mask, causal=causal)
    mean = v[:, :, :2].mean(2) if causal else v.mean(2)
    torch.testing.assert_close(got[0][:, :, 1], mean)
    wanted = run(reference, (q, k, v), u, t, mask=mask, causal=causal)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_a_mask_of_more_numbers_than_int32_counts(kernels, square_tiles):
    """Nine heads' masks of 16,384² numbers, of which no memory but the ninth's is touched."""
    at = torch.from_numpy(np.zeros(2**31 + 128, dtype=np.bool_))
    mask = at.as_strided((1, 9, 1, 19), (0, 2**28, 0, 1))
    mask[:, 8] = random_mask(1, 1, 19)
    check(kernels, *tensors((1, 9, 3, 8), (1, 9, 19, 8)), mask=mask)


@pytest.mark.parametrize("of", ["tf32", "ieee"])
def test_products_are_as_exact_as_pytorchs_are_set(kernels, monkeypatch, of):
    """By either of PyTorch's two settings; asking for the older one raises after the newer."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = of
        assert kernels._precision(torch.float32) == {"tf32": "tf32", "ieee": "tf32x3"}[of]
    finally:
        matmul.fp32_precision = before


@pytest.mark.parametrize("probes", [2, 4])
def test_probes(kernels, square_tiles, probes):
    inputs = tensors((2, 1, 19, 8), (2, 1, 37, 8), probes=probes)
    check(kernels, *inputs, mask=random_mask(2, 1, 19, 37))


LAYOUTS = {
    "heads first": lambda x: x,
    "tokens first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "sliced": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    "transposed": lambda x: x.mT.contiguous().mT,
    "expanded": lambda x: x[:, :1].expand_as(x),
}


@pytest.mark.parametrize(
    "of_q, of_k, of_others",
    [
        ("tokens first", "heads first", "tokens first"),
        ("heads first", "tokens first", "transposed"),
        ("tokens first", "tokens first", "heads first"),
        ("sliced", "transposed", "expanded"),
        ("expanded", "sliced", "sliced"),
    ],
)
def test_layouts(kernels, square_tiles, of_q, of_k, of_others):
    (q, k, v), u, tangent = tensors((1, 3, 17, 24), (1, 3, 19, 24))
    q, k, v = LAYOUTS[of_q](q), LAYOUTS[of_k](k), LAYOUTS[of_k](v)
    u, *tangent = (LAYOUTS[of_others](x) for x in (u, *tangent))
    check(kernels, (q, k, v), u, tangent)


def test_results_lie_in_memory_as_queries_and_keys_do(kernels, square_tiles):
    (q, k, v), u, tangent = tensors((1, 3, 17, 24), (1, 3, 19, 24))
    q = LAYOUTS["tokens first"](q)
    o, _, o_dot, _, dq, dk, dv, gq, gk, gv = run(kernels, (q, k, v), u, tangent)
    assert all(x.transpose(1, 2).is_contiguous() for x in (o, o_dot, dq, gq))
    assert all(x.is_contiguous() for x in (dk, dv, gk, gv))


@pytest.mark.parametrize("n, m, causal", [(96, 19, False), (131, 19, True), (70, 50, True)])
def test_programs_that_share_a_loop_add_up(kernels, monkeypatch, n, m, causal):
    monkeypatch.setattr(kernels, "SHARE", 1)
    monkeypatch.setattr(kernels, "tile", lambda *_: Tile(32, 16))
    check(kernels, *tensors((1, 1, n, 8), (1, 1, m, 8), torch.float32), causal=causal)


@pytest.mark.parametrize("given", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)])
def test_a_tangent_of_none(kernels, square_tiles, given):
    qkv, u, tangent = tensors((1, 1, 17, 8), (1, 1, 19, 8))
    check(kernels, qkv, u, [x if there else None for x, there in zip(tangent, given, strict=True)])


@pytest.mark.parametrize("place", range(3))
def test_what_is_not_wanted_is_not_computed(kernels, square_tiles, place):
    inputs = tensors((1, 1, 17, 8), (1, 1, 19, 8))
    check(kernels, *inputs, wanted=tuple(i == place for i in range(3)))


def test_gradcheck(kernels, square_tiles):
    qkv = [x.requires_grad_() for x in tensors((1, 1, 2, 2), (1, 1, 3, 2))[0]]

    def f(q, k, v):
        return attention(q, k, v, causal=True)

    assert gradcheck(f, qkv, check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(f, qkv, check_fwd_over_rev=True, fast_mode=True)


def test_many_tangents_launch_as_much_as_one(kernels, square_tiles, monkeypatch):
    launched = []

    def recorded(self, name, *args, launch=kernels._Arguments._launch):
        launched.append(name)
        return launch(self, name, *args)

    monkeypatch.setattr(kernels._Arguments, "_launch", recorded)
    (q, k, v), _, tangent = tensors((2, 1, 5, 8), (2, 1, 7, 8), probes=3)
    tangents = tangent[0].unflatten(0, (3, 2))

    def isometry(k, function):
        o_dot = function(lambda t: jvp(lambda q: attention(q, k, v), (q,), (t,))[1], tangents)
        return o_dot.square().sum()

    together = grad(isometry)(k, lambda f, t: vmap(f)(t))
    assert launched == ["forward", "jvp", "hvp_queries", "hvp_keys"]
    alone = grad(isometry)(k, lambda f, t: torch.stack([f(x) for x in t]))
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_batched_grads_of_autograd_raise():
    (q, k, v), _, _ = tensors((1, 1, 2, 2), (1, 1, 3, 2))
    o = attention(q.requires_grad_(), k, v)
    with pytest.raises(RuntimeError, match="is_grads_batched=True cannot batch kernels"):
        torch.autograd.grad(o, q, torch.ones(2, *o.shape), is_grads_batched=True)
