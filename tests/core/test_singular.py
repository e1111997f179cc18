"""Singular triplets by subspace iteration against the decomposition of the full Jacobian."""

import warnings

import pytest
import torch
from torch import nn

from latentgeo.core.linearize import jacobian, jvp, vjp
from latentgeo.core.singular import top_singular

B, CHANNELS, SIDE, OUT, K = 3, 2, 11, 17, 3
N = CHANNELS * SIDE


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(CHANNELS, 5, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(5 * SIDE, OUT)
    ).double()


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, CHANNELS, SIDE, generator=generator, dtype=torch.float64)


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


def diagonal(*values):
    """Return the map x ↦ diag(values) x, whose singular values are known."""
    return lambda x: x * torch.tensor(values, dtype=x.dtype)


def test_equals_the_full_decomposition(net, x):
    """Values to the square of the tolerance, projectors on the vectors to the tolerance."""
    left, values, right = torch.linalg.svd(jacobian(net, x), full_matrices=False)
    found = top_singular(net, x, K, tolerance=1e-9, iterations=1000, generator=seeded())
    torch.testing.assert_close(found.values, values[:, :K], rtol=1e-12, atol=0)
    for ours, theirs in ((found.left, left.mT[:, :K]), (found.right, right[:, :K])):
        cosine = (ours.flatten(2) * theirs).sum(2).abs()  # (B, K), the sign is free
        torch.testing.assert_close(cosine, torch.ones(B, K, dtype=torch.float64))
    assert found.left.shape == (B, K, OUT) and found.right.shape == (B, K, CHANNELS, SIDE)


def test_triplets_are_what_they_claim(net, x):
    """Orthonormal; J v = σ u; Jᵀu - σv is as long as `residual` says and below the tolerance."""
    found = top_singular(net, x, K, tolerance=1e-2, generator=seeded())
    for vectors in (found.left.flatten(2), found.right.flatten(2)):
        eye = torch.eye(K, dtype=torch.float64).expand(B, K, K)
        torch.testing.assert_close(vectors @ vectors.mT, eye, rtol=0, atol=1e-12)
    for i in range(K):
        u, v, value = found.left[:, i], found.right[:, i], found.values[:, i]
        torch.testing.assert_close(jvp(net, x, v)[1], value[:, None] * u)
        gap = vjp(net, x, u)[1] - value[:, None, None] * v
        torch.testing.assert_close(gap.flatten(1).norm(dim=1), found.residual[:, i])
    assert (found.residual <= 1e-2 * found.values[:, :1]).all()
    assert (found.values.diff(dim=1) <= 0).all()
    assert not found.values.requires_grad and not found.left.requires_grad


def test_a_value_lies_within_each_residual(net, x):
    """The bound that the residual states, after one iteration already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = top_singular(net, x, K, iterations=1, generator=seeded())
    values = torch.linalg.svdvals(jacobian(net, x))
    nearest = (found.values[:, :, None] - values[:, None]).abs().min(dim=2).values
    assert (nearest <= found.residual).all()
    assert found.residual.max() > 1e-2  # or this has tested nothing


def test_the_error_shrinks_as_stated():
    """(σ_{k+extra+1}/σ_k)² per iteration, which is (4/8)² for one value and one extra column."""
    x, f = torch.zeros(1, 5, dtype=torch.float64), diagonal(8.0, 6.0, 4.0, 0.5, 0.25)
    residuals = []  # of first order in the angle between the subspaces, as the stated error
    for count in (6, 10):
        with pytest.warns(UserWarning):
            found = top_singular(
                f, x, tolerance=1e-15, iterations=count, extra=1, generator=seeded()
            )
        residuals.append(found.residual.item())
    assert residuals[1] / residuals[0] == pytest.approx((4 / 8) ** (2 * 4), rel=0.05)


def test_a_repeated_value_and_a_zero_map_converge():
    x = torch.zeros(2, 5, dtype=torch.float64)
    found = top_singular(diagonal(2.0, 2.0, 2.0, 1.0, 0.0), x, 3, generator=seeded())
    torch.testing.assert_close(found.values, torch.full((2, 3), 2.0, dtype=torch.float64))
    nothing = top_singular(diagonal(0.0), x, 2, generator=seeded())
    assert (nothing.values == 0).all() and (nothing.residual == 0).all()
    eye = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    torch.testing.assert_close(nothing.right @ nothing.right.mT, eye)


@pytest.mark.parametrize("k", [1, 2])
def test_a_rank_below_k_is_found(k):
    """The second value of a map of rank 1 is 0."""
    weight = torch.outer(torch.arange(1.0, 4), torch.arange(1.0, 6)).double()
    found = top_singular(lambda x: x @ weight.mT, torch.zeros(1, 5).double(), k, generator=seeded())
    assert found.values[0, 0].item() == pytest.approx((14 * 55) ** 0.5)
    assert found.values[0, 1:].abs().sum() < 1e-12


def test_every_value_can_be_asked_for(net, x):
    found = top_singular(net, x, OUT, generator=seeded(), tolerance=1e-6, iterations=10_000)
    torch.testing.assert_close(found.values, torch.linalg.svdvals(jacobian(net, x)))


@pytest.mark.parametrize("samples", [None, 1, 2])
@pytest.mark.parametrize("chunk", [None, 2])
def test_samples_are_independent_of_batch_and_chunks(net, x, chunk, samples):
    """Alone or in a batch, a sample starts alike and stops at its own iteration."""
    gain = torch.tensor([5.0, 1.0, 2.0], dtype=torch.float64)  # the first is finished first

    def scaled(x, gain):
        return net(x * gain[:, None, None])

    options = {"tolerance": 1e-6, "iterations": 1000}
    together = top_singular(
        scaled, x, 2, given=(gain,), chunk=chunk, samples=samples, generator=seeded(), **options
    )
    assert together.iterations[0] < together.iterations[1:].min()
    for i in range(B):
        rows = slice(i, i + 1)
        alone = top_singular(scaled, x[rows], 2, given=(gain[rows],), generator=seeded(), **options)
        assert alone.iterations.item() == together.iterations[i]
        torch.testing.assert_close(together.values[rows], alone.values, rtol=1e-12, atol=0)
        torch.testing.assert_close(together.right[rows], alone.right, rtol=1e-8, atol=1e-8)


def test_the_seed_decides_the_start(net, x):
    first, again, other = (
        top_singular(net, x, 1, tolerance=0.1, generator=seeded(seed)) for seed in (2, 2, 3)
    )
    assert torch.equal(first.right, again.right)
    assert not torch.equal(first.right, other.right)


def test_a_cap_that_is_too_low_is_said(net, x):
    with pytest.warns(UserWarning, match=r"top_singular: 3 of 3 samples .* after 2 iterations"):
        found = top_singular(net, x, tolerance=1e-14, iterations=2, generator=seeded())
    assert (found.iterations == 2).all()


def test_half_precision_maps_are_decomposed_in_float32():
    x = torch.zeros(1, 7, dtype=torch.bfloat16)
    f = diagonal(4.0, 2.0, 1.0, 0.5, 0.25, 0.0, 0.0)
    found = top_singular(f, x, 2, tolerance=0.03, generator=seeded())
    assert found.right.dtype == torch.bfloat16 and found.values.dtype == torch.float32
    torch.testing.assert_close(found.values, torch.tensor([[4.0, 2.0]]), rtol=0.01, atol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": 18}, "k must be at most 17, the smaller side of J, got 18"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"tolerance": 0.0}, "tolerance must be positive and extra not negative, got 0.0 and 4"),
        ({"extra": -1}, "tolerance must be positive and extra not negative, got 0.001 and -1"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"given": (torch.zeros(2),)}, "given: got 2 rows, wanted 3, one per sample of x"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(net, x, wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        top_singular(net, x, **wrong)
    assert "\n" not in str(error.value)
