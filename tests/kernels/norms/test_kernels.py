"""The norms' kernels, in Triton's interpreter, against the closed forms in float64.

What the kernels do not write is NaN here, so a row or a tile that one forgets fails.
"""

import itertools

import pytest
import torch
from torch.func import grad, jvp, vmap

from latentgeo.kernels.norms.op import choice, group_norm, group_norm_silu, layer_norm
from latentgeo.kernels.norms.reference import Norm

pytestmark = pytest.mark.interpret
BARS = {  # of the largest entry; the interpreter rounds to bfloat16 by cutting off
    torch.float64: 1e-12,
    torch.float32: 2e-6,  # γ's second derivative cancels; in plain PyTorch it is off by 1.4e-6
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}


@pytest.fixture(autouse=True)
def launch(monkeypatch):
    """Return the module, which cannot be imported outside of the interpreter's process."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    from latentgeo.kernels.norms import launch as norms_launch

    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    yield norms_launch
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def tiles(launch, monkeypatch):
    """Two tiles to a row of 22 numbers, the last one ragged, and several to a channel."""
    monkeypatch.setattr(launch, "TILE", 16)
    monkeypatch.setattr(launch, "COLUMNS", 8)
    monkeypatch.setattr(launch, "MERGED", 4)
    monkeypatch.setattr(launch, "PROGRAMS", 5)


def operands(dtype=torch.float64, last=False, probes=2, shape=(1, 4, 11)):
    """Return point, cotangent and tangents; the tangents of x and γ have the probes, β's has 1."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    def like_x(p):
        samples, channels, places = shape
        if last:
            return normal(p, samples, places, channels).transpose(2, 3)
        return normal(p, *shape)

    point = [like_x(1), normal(1, shape[1]), normal(1, shape[1])]
    return point, like_x(probes), [like_x(probes), normal(probes, shape[1]), normal(1, shape[1])]


def run(norm, point, u, t, wanted=(True, True, True)):
    """Return all results of all four closed forms."""
    y, stats = norm.forward(*point)
    point = (*point, stats)
    return [
        y,
        stats,
        norm.jvp(point, t),
        *norm.vjp(point, u, wanted),
        *norm.hvp(point, u, t, wanted),
    ]


def check(norm, point, u, t, **options):
    """Hold the kernels' results against the reference's in float64, of the same inputs."""
    wide = [None if x is None else x.double() for x in (*point, u, *t)]
    wanted = run(norm, wide[:3], wide[3], wide[4:], **options)
    got = run(choice(norm).on_triton(), point, u, t, **options)
    for a, b in zip(got, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            bound = BARS[u.dtype] * b.abs().max().item()
            torch.testing.assert_close(a.double(), b.expand_as(a), rtol=0, atol=bound)
            assert a.shape[1:] == b.shape[1:] and len(a) >= len(b)


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("last", [False, True], ids=["plain", "channels-last"])
@pytest.mark.parametrize("cut", ["whole", "tiles"])
def test_layouts_and_tilings(request, silu, last, cut):
    """A row in one tile or in several, the last one ragged, contiguous or channels-last."""
    if cut == "tiles":
        request.getfixturevalue("tiles")
    point, u, t = operands(last=last, shape=(2, 4, 11) if cut == "whole" else (1, 4, 11))
    check(Norm(2, 1e-5, silu), point, u, t)
    result = choice(Norm(2, 1e-5, silu)).on_triton().forward(*point)[0]
    assert result.stride() == point[0].stride()


@pytest.mark.parametrize("probes", [1, 2])
def test_statistics_of_the_shape_of_x(probes):
    """A channel to a group and two positions: (m, r) has x's shape, but not its layout."""
    norm = Norm(3, 0.3, True)  # of two numbers almost nothing is left without eps
    point, u, t = operands(last=True, probes=probes, shape=(2, 3, 2))
    check(norm, point, u, t)
    stacked, both = torch.cat([point[0], t[0][:1]]), torch.cat([u[:1], u[-1:]])
    wanted, got = (
        each.pair_vjp((*point, each.forward(*point)[1]), stacked[1:], both, (True,) * 3)
        for each in (norm, choice(norm).on_triton())
    )
    torch.testing.assert_close(got, tuple(wanted), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", BARS)
def test_types(tiles, dtype):
    check(Norm(2, 1e-5, True), *operands(dtype))


@pytest.mark.parametrize("dtype", BARS)
def test_rows_of_layer_norm(dtype):
    """One group, S = 1, rows of 37 numbers."""
    check(Norm(1, 1e-5, False), *operands(dtype, probes=1, shape=(3, 37, 1)))


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("cut", ["whole", "tiles"])
def test_any_tangents(request, silu, cut):
    """Every choice of tangents that there are."""
    if cut == "tiles":
        request.getfixturevalue("tiles")
    point, u, t = operands(probes=1, shape=(1, 2, 9))
    norm = Norm(1, 1e-5, silu)
    for present in itertools.product([False, True], repeat=3):
        if any(present):
            check(norm, point, u, [x if p else None for x, p in zip(t, present, strict=True)])


def test_any_results():
    """Every choice of results that are asked for."""
    point, u, t = operands(probes=1, shape=(1, 2, 5))
    for wanted in itertools.product([False, True], repeat=3):
        check(Norm(1, 1e-5, True), point, u, t, wanted=wanted)


def test_a_mixture_of_types():
    """16-bit features with weights in float32, as in mixed-precision training."""
    point, u, t = operands(torch.bfloat16)
    point[1:], t[1:] = [w.float() for w in point[1:]], [w.float() for w in t[1:]]
    got = run(choice(Norm(2, 1e-5, True)).on_triton(), point, u, t)
    assert [x.dtype for x in got] == [
        torch.bfloat16, torch.float32, torch.bfloat16,
        *[torch.bfloat16, torch.float32, torch.float32] * 2,
    ]  # fmt: skip
    check(Norm(2, 1e-5, True), point, u, t)


def test_large_mean(tiles):
    """The variance of numbers around 1000 is not lost to cancellation in float32."""
    point, *_ = operands(torch.float32)
    point[0] = point[0] + 1000
    wanted = Norm(2, 1e-5, False).forward(*(x.double() for x in point))
    got = choice(Norm(2, 1e-5, False)).on_triton().forward(*point)
    torch.testing.assert_close(got[0].double(), wanted[0], rtol=0, atol=3e-4)


@pytest.mark.parametrize("op", [group_norm, group_norm_silu, layer_norm])
def test_orders_through_autograd(op, monkeypatch):
    """The kernels tied together, in all three second orders, one with batched tangents."""
    point, u, _ = operands(probes=2, shape=(2, 5, 1))
    x, weight, bias = (p[0] for p in point)

    def value(x, weight, bias):
        if op is layer_norm:
            return layer_norm(x[..., 0], weight, bias)
        return op(x, 1, weight, bias)

    def everything():
        def length(x, weight):
            pushed = vmap(lambda t: jvp(lambda p: value(p, weight, bias), (x,), (t,))[1])(u)
            return (pushed**2).sum()

        def force(x, weight):
            return grad(lambda p: (value(p, weight, bias) ** 3).sum())(x)

        forward_over_reverse = jvp(force, (x, weight), (u[0], weight))[1]
        twice = grad(lambda x, w: (force(x, w) ** 2).sum(), (0, 1))(x, weight)
        return [*grad(length, (0, 1))(x, weight), forward_over_reverse, *twice]

    got = everything()
    monkeypatch.setenv("LATENTGEO_KERNELS", "reference")
    for a, b in zip(got, everything(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())
