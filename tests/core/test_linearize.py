"""Products with J and Jᵀ against the full Jacobian, and traces with honest errors."""

import pytest
import torch
from torch import nn

from latentgeo.core.linearize import (
    hutchinson,
    jacobian,
    jvp,
    probes,
    pull,
    push,
    signs,
    vjp,
)
from latentgeo.eval.audit.errors import deviates

B, R, CHANNELS, SIDE, OUT = 3, 5, 2, 7, 11
N = CHANNELS * SIDE


class Net(nn.Module):
    """A map (B, 2, 7) -> (B, 11) that is nowhere linear; counts how often it is called."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, 6, 3, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.out = nn.Linear(6 * SIDE, OUT)
        self.calls = 0

    def forward(self, x, gain=None):
        self.calls += 1
        h = nn.functional.silu(self.norm(self.conv(x)))
        y = self.out(h.flatten(1)) ** 2
        return y if gain is None else y * gain[:, None]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().double()


@pytest.fixture
def x():
    return drawn(B, CHANNELS, SIDE)


def drawn(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def by_torch(f, x):
    """Return J (B, m, n) by reverse mode over the whole batch, and check that samples are apart."""
    rows = torch.autograd.functional.jacobian(f, x).flatten(3)  # (B, m, B, n)
    for i in range(len(x)):
        assert rows[i, :, (i + 1) % len(x)].abs().max() == 0
    return torch.stack([rows[i, :, i] for i in range(len(x))])


def test_jacobian_is_reverse_modes(net, x):
    torch.testing.assert_close(jacobian(net, x), by_torch(net, x), rtol=1e-12, atol=1e-13)
    assert not jacobian(net, x).requires_grad


def test_products_are_those_of_the_full_jacobian(net, x):
    full, v, u = by_torch(net, x), drawn(B, CHANNELS, SIDE, seed=2), drawn(B, OUT, seed=3)
    y, pushed = jvp(net, x, v)
    torch.testing.assert_close(pushed, torch.einsum("bmn,bn->bm", full, v.flatten(1)))
    also_y, pulled = vjp(net, x, u)
    torch.testing.assert_close(pulled.flatten(1), torch.einsum("bmn,bm->bn", full, u))
    torch.testing.assert_close(y, net(x))
    torch.testing.assert_close(also_y, y)


@pytest.mark.parametrize("chunk", [None, 1, 2, 100])
def test_probes_are_single_products_side_by_side(net, x, chunk):
    vs, us = drawn(R, B, CHANNELS, SIDE, seed=2), drawn(R, B, OUT, seed=3)
    singly = torch.stack([jvp(net, x, v)[1] for v in vs])
    torch.testing.assert_close(push(net, x, vs, chunk), singly, rtol=1e-12, atol=1e-12)
    singly = torch.stack([vjp(net, x, u)[1] for u in us])
    torch.testing.assert_close(pull(net, x, us, chunk), singly, rtol=1e-12, atol=1e-12)


def test_probes_share_one_pass_through_the_map(net, x):
    """Not only one call: the operations on the primal see no dimension of probes."""
    seen = []

    def watched(x):
        seen.append(torch._C._functorch.is_batchedtensor(x))
        return net(x)

    push(watched, x, drawn(R, B, CHANNELS, SIDE))
    pull(watched, x, drawn(R, B, OUT))
    assert seen == [False, False]
    net.calls = 0
    push(net, x, drawn(R, B, CHANNELS, SIDE), chunk=2)
    assert net.calls == 3
    net.calls = 0
    pull(net, x, drawn(R, B, OUT), chunk=2)
    assert net.calls == 1


def test_composition(net, x):
    """J of g∘f is J_g(f(x)) J_f(x); its transpose goes the other way."""
    torch.manual_seed(1)
    inner = nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1), nn.Tanh()).double()
    middle = inner(x).detach()
    v, u = drawn(B, CHANNELS, SIDE, seed=2), drawn(B, OUT, seed=3)

    def composed(x):
        return net(inner(x))

    torch.testing.assert_close(jvp(composed, x, v)[1], jvp(net, middle, jvp(inner, x, v)[1])[1])
    torch.testing.assert_close(vjp(composed, x, u)[1], vjp(inner, x, vjp(net, middle, u)[1])[1])
    both = jacobian(net, middle) @ jacobian(inner, x)
    torch.testing.assert_close(jacobian(composed, x), both)


def test_pull_is_the_transpose_of_push(net, x):
    """⟨u, J v⟩ = ⟨Jᵀu, v⟩ for every sample and pair of probes."""
    vs, us = drawn(R, B, CHANNELS, SIDE, seed=2), drawn(R, B, OUT, seed=3)
    left = (us * push(net, x, vs)).flatten(2).sum(2)
    right = (pull(net, x, us) * vs).flatten(2).sum(2)
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_products_keep_the_graph_of_the_weights(net, x):
    """The gradient of ‖Jv‖² and ‖Jᵀu‖² in a weight is the slope along it."""
    v, u, weight = drawn(B, CHANNELS, SIDE, seed=2), drawn(B, OUT, seed=3), net.conv.weight
    for value in (
        lambda: push(net, x, v[None]).square().sum(),
        lambda: pull(net, x, u[None]).square().sum(),
        lambda: hutchinson(net, x, v[None]).second.value.sum(),
    ):
        (gradient,) = torch.autograd.grad(value(), weight)
        line, kept, ends = drawn(*weight.shape, seed=4), weight.detach().clone(), []
        for step in (1e-5, -1e-5):
            weight.data = kept + step * line
            ends.append(value().item())
        weight.data = kept
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx((gradient * line).sum().item(), rel=1e-6)


def test_a_complete_set_of_probes_gives_the_traces_themselves(net, x):
    """Probes √n e_i have mean vvᵀ = I exactly, so nothing is left to chance."""
    full = by_torch(net, x)
    gram = full.mT @ full
    basis = N**0.5 * torch.eye(N, dtype=torch.float64).reshape(N, 1, CHANNELS, SIDE)
    first, second = hutchinson(net, x, basis.expand(N, B, CHANNELS, SIDE))
    torch.testing.assert_close(first.value, gram.diagonal(dim1=1, dim2=2).sum(1))
    torch.testing.assert_close(second.value, gram.square().sum((1, 2)))
    values = torch.linalg.svdvals(full)
    torch.testing.assert_close(first.value, values.square().sum(1))
    torch.testing.assert_close(second.value, values.pow(4).sum(1))


@pytest.mark.parametrize("draw", [probes, signs])
def test_estimates_are_unbiased_and_their_errors_honest(draw):
    """Iso Eq. 8: (estimate - truth) / error has mean 0, spread 1; 400 repetitions, 100 probes.

    The mean of 400 standard scores has a standard deviation of 0.05 and their spread one of 0.035;
    ‖JᵀJv‖² is skewed, which shifts the mean score by about -0.1 for 100 probes.
    """
    torch.manual_seed(0)
    weight = torch.randn(OUT, N, dtype=torch.float64) / N**0.5
    gram = weight.mT @ weight
    truth = gram.trace(), gram.square().sum()
    generator, x = torch.Generator().manual_seed(7), torch.zeros(400, N, dtype=torch.float64)
    for estimate, true in zip(
        hutchinson(lambda x: x @ weight.mT, x, draw(x, 100, generator)), truth, strict=True
    ):
        scores = (estimate.value - true) / estimate.error
        assert abs(scores.mean()) < 0.2
        assert 0.9 < scores.std() < 1.12
        covered = (scores.abs() < 1.96).double().mean()
        assert 0.91 < covered < 0.98


def test_the_variance_of_normal_probes_is_known():
    """Iso Eq. 8: Var ‖Jv‖² = 2 tr((JᵀJ)²) for normal v, and 0 for signs if JᵀJ is diagonal."""
    scale = torch.arange(1, N + 1, dtype=torch.float64)
    x = torch.zeros(2, N, dtype=torch.float64)
    count, generator = 20_000, torch.Generator().manual_seed(3)
    first, _ = hutchinson(lambda x: scale * x, x, probes(x, count, generator))
    expected = (2 * scale.pow(4).sum() / count).sqrt()
    tails = 12 * scale.pow(8).sum() / scale.pow(4).sum() ** 2  # excess kurtosis of ‖Jv‖²
    spread = expected * ((2 + tails) / (4 * count)) ** 0.5
    assert deviates(first.error, expected.expand(2), spread, count) < 4
    first, _ = hutchinson(lambda x: scale * x, x, signs(x, R, generator))
    assert first.error.max() < 1e-10
    torch.testing.assert_close(first.value, scale.square().sum().expand(2))


def test_one_probe_has_no_error_to_speak_of(net, x):
    first, second = hutchinson(net, x, probes(x, 1))
    assert first.error.isinf().all() and second.error.isinf().all()
    assert first.value.isfinite().all()


@pytest.mark.parametrize("chunk", [None, 1, 2])
@pytest.mark.parametrize("samples", [None, 1, 2])
def test_samples_are_independent_of_batch_and_chunks(net, x, chunk, samples):
    """Iso Eq. 8: one sample at a time, with its own row of what else the map takes, is the same."""
    gain, vs = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64), drawn(R, B, CHANNELS, SIDE)
    together = hutchinson(net, x, vs, (gain,), chunk, samples)
    for i in range(B):
        rows = slice(i, i + 1)
        alone = hutchinson(net, x[rows], vs[:, rows], (gain[rows],))
        for estimate, single in zip(together, alone, strict=True):
            torch.testing.assert_close(estimate.value[rows], single.value)
            torch.testing.assert_close(estimate.error[rows], single.error)
    full = jacobian(net, x, (gain,), chunk, samples)
    torch.testing.assert_close(full, gain[:, None, None] * by_torch(net, x))


def test_probes_come_from_their_generator(x):
    for draw in (probes, signs):
        first, again = (draw(x, R, torch.Generator().manual_seed(5)) for _ in range(2))
        other = draw(x, R, torch.Generator().manual_seed(6))
        assert first.shape == (R, *x.shape) and first.dtype == x.dtype
        assert torch.equal(first, again) and not torch.equal(first, other)
    assert set(signs(x, R).unique().tolist()) == {-1.0, 1.0}


def test_half_precision_is_summed_in_float32():
    """65,537 ones of bfloat16 would add up to 256."""
    x = torch.zeros(1, 65_537, dtype=torch.bfloat16)
    first, _ = hutchinson(lambda x: x * 1, x, torch.ones(1, *x.shape, dtype=x.dtype))
    assert first.value.item() == 65_537


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda f, x: jvp(f, x, x[:2]), r"tangent: got torch.float64 \(2, 2, 7\), wanted"),
        (lambda f, x: jvp(f, x, x.float()), r"tangent: got torch.float32"),
        (lambda f, x: vjp(f, x, x), r"cotangent: got .*\(3, 2, 7\), wanted .*\(3, 11\)"),
        (lambda f, x: push(f, x, x), r"tangents: got .*\(3, 2, 7\), wanted .*\(R, 3, 2, 7\)"),
        (lambda f, x: push(f, x, x[None][:0]), r"tangents: got .*\(0, 3, 2, 7\)"),
        (lambda f, x: pull(f, x, x[None]), r"cotangents: got .*wanted .*\(R, 3, 11\)"),
        (lambda f, x: push(f, x, x[None], 0), "chunk must be at least 1, got 0"),
        (lambda f, x: hutchinson(f, x, x[None], samples=0), "samples must be at least 1"),
        (lambda f, x: hutchinson(f, x, x[None], (x[:2],)), "given: got 2 rows, wanted 3"),
        (lambda f, x: probes(x, 0), "count must be at least 1, got 0"),
        (lambda f, x: jacobian(f, x.long()), r"x: got torch.int64 \(3, 2, 7\)"),
        (lambda f, x: jacobian(f, x[:0]), r"x: got torch.float64 \(0, 2, 7\)"),
        (lambda f, x: jvp(lambda x: x.sum(), x, x), r"f: got \(\), wanted a tensor of 3 rows"),
        (lambda f, x: vjp(lambda x: (x, x), x, x), "f: got tuple, wanted a tensor of 3 rows"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(net, x, wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        wrong(net, x)
    assert "\n" not in str(error.value)
