"""Couplings against every permutation, against each other, and under ties."""

import itertools

import pytest
import torch

from latentgeo.core.couplings import index, inverse, optimal, partial, random, relabelling, worst
from latentgeo.core.transport import cost, matched


def clouds(b=3, n=7, d=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, b, n, d, generator=generator, dtype=torch.float64).to(dtype)


def every_cost(x, y):
    """Costs (n!, B) of all permutations, from squared distances that are looked up one by one."""
    n = x.shape[1]
    squared = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    orders = list(itertools.permutations(range(n)))
    return orders, squared[:, range(n), torch.tensor(orders)].sum(dim=2).T


def is_permutation(sigma):
    return torch.equal(sigma.sort(dim=1).values, index(sigma))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_optimal_and_worst_are_the_extremes_of_all_permutations(dtype):
    """OT Eq. 2, OT Sec. 3: no permutation of 7 points costs less, or more."""
    x, y = clouds(dtype=dtype)
    _, costs = every_cost(x, y)
    for couple, extreme in ((optimal, costs.amin(0)), (worst, costs.amax(0))):
        sigma = couple(x, y)
        assert is_permutation(sigma) and sigma.dtype == torch.int64
        torch.testing.assert_close(cost(x, y, sigma), extreme, rtol=1e-10, atol=0)


def test_a_translation_changes_no_coupling():
    """OT Sec. 3: ‖x - y - c‖² differs from ‖x - y‖² by what every permutation adds alike."""
    x, y = clouds(5, 11, 3, seed=1)
    for couple in (optimal, worst):
        assert torch.equal(couple(x + 1e4, y - 3e4), couple(x, y))


def test_optimal_is_monotone():
    """OT Sec. 3: an optimal map has ⟨x_i - x_j, T(x_i) - T(x_j)⟩ >= 0 for every pair."""
    x, y = clouds(2, 13, 3, seed=2)
    to = matched(y, optimal(x, y))
    turned = ((x[:, :, None] - x[:, None]) * (to[:, :, None] - to[:, None])).sum(dim=3)
    assert turned.min() > -1e-12


@pytest.mark.parametrize("seed", range(7))
def test_the_way_back_is_the_inverse(seed):
    """OT Sec. 3: for points in general position there is one optimal coupling, either way."""
    x, y = clouds(3, 11, 5, seed=seed)
    sigma = optimal(x, y)
    assert torch.equal(inverse(sigma), optimal(y, x))
    assert torch.equal(sigma.gather(1, inverse(sigma)), index(x))


def test_duplicates_keep_their_order():
    """Of all optimal couplings of clouds with duplicates the one nearest to the index is taken."""
    generator = torch.Generator().manual_seed(3)
    kinds = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    x, y = kinds[None, [0, 1, 1, 2, 2, 2, 2]], kinds[None, [2, 0, 2, 2, 1, 1, 2]]
    orders, costs = every_cost(x, y)
    best = [order for order, value in zip(orders, costs, strict=True) if value < 1e-12]
    assert len(best) == 2 * 24
    nearest = min(best, key=lambda order: sum((i - j) ** 2 for i, j in enumerate(order)))
    assert optimal(x, y).tolist() == [list(nearest)] == [[1, 4, 5, 0, 2, 3, 6]]


def test_near_duplicates_keep_their_order_whatever_the_batch():
    """Padding that differs by rounding alone: the index is as good as any, and it is what is kept.

    Magnitudes as of a text encoder; a batch of 9 is cut into parts of 4, 4 and 1.
    """
    generator = torch.Generator().manual_seed(4)
    text = torch.randn(2, 1, 5, 31, generator=generator)
    pad = torch.randn(31, generator=generator).expand(2, 1, 19, 31)
    x, y = torch.cat([text, pad * (1 + 1e-7 * torch.rand(2, 1, 19, 31, generator=generator))], 2)
    alone = optimal(x, y)
    assert torch.equal(alone[:, 5:], index(x)[:, 5:])
    assert torch.equal(optimal(x.repeat(9, 1, 1), y.repeat(9, 1, 1)), alone.repeat(9, 1))


@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_a_permuted_cloud_is_recognised_to_the_last_bit(scale):
    """OT Eq. 2: also if its points are nearer to each other than rounding can tell."""
    generator = torch.Generator().manual_seed(5)
    x = 1 + scale * torch.randn(5, 17, 3, generator=generator)
    x[:, 4] = x[:, 9]  # and two are one
    order = torch.stack([torch.randperm(17, generator=generator) for _ in range(5)])
    y = matched(x, order)
    assert (cost(x, y, optimal(x, y)) == 0).all()
    assert (cost(y, x, optimal(y, x)) == 0).all()


def test_relabelling_is_exact_or_none():
    x = torch.tensor([[0.0, 1.0], [-0.0, 2.0], [0.0, 1.0]])
    y = torch.tensor([[0.0, 2.0], [-0.0, 1.0], [0.0, 1.0]])
    found = relabelling(x, y)
    assert found is not None and found.tolist() == [1, 0, 2]
    assert relabelling(x, y.nextafter(torch.tensor(9.0))) is None


@pytest.mark.parametrize(("real_x", "real_y"), [(3, 3), (2, 5), (6, 1), (0, 4), (7, 7)])
def test_partial_is_the_best_that_keeps_padding_apart(real_x, real_y):
    """Of all permutations with as few real tokens on padding as can be, the cheapest."""
    x, y = clouds(1, 7, 5, seed=6)
    orders, costs = every_cost(x, y)
    mixed = [sum((i < real_x) != (j < real_y) for i, j in enumerate(order)) for order in orders]
    allowed = torch.tensor(mixed) == min(mixed)
    assert min(mixed) == abs(real_x - real_y)
    sigma = partial(x, y, torch.tensor([real_x]), torch.tensor([real_y]))
    assert is_permutation(sigma)
    torch.testing.assert_close(cost(x, y, sigma), costs[allowed].amin(0), rtol=1e-12, atol=0)


def test_partial_handles_each_pair_by_its_own_counts():
    x, y = clouds(6, 11, 3, seed=7)
    real_x, real_y = torch.tensor([[5, 2, 11, 3, 0, 6], [5, 7, 4, 3, 8, 1]])
    together = partial(x, y, real_x, real_y)
    for i in range(6):
        part = slice(i, i + 1)
        alone = partial(x[part], y[part], real_x[part], real_y[part])
        assert torch.equal(together[part], alone)


def test_random_is_uniform_and_seeded():
    x = torch.zeros(4000, 3, 1)
    sigma = random(x, torch.Generator().manual_seed(0))
    assert is_permutation(sigma)
    assert torch.equal(sigma, random(x, torch.Generator().manual_seed(0)))
    counts = (sigma * torch.tensor([9, 3, 1])).sum(1).unique(return_counts=True)[1]
    assert len(counts) == 6 and (counts - 4000 / 6).abs().max() < 5 * (4000 / 6) ** 0.5


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 3, 2), torch.zeros(1, 5, 2), "one shape"),
        (torch.zeros(3, 2), torch.zeros(3, 2), "one shape"),
        (torch.zeros(1, 0, 2), torch.zeros(1, 0, 2), "one shape"),
        (torch.zeros(1, 3, 2), torch.full((1, 3, 2), torch.nan), "y: got a cloud with values"),
        (torch.full((1, 3, 2), torch.inf), torch.zeros(1, 3, 2), "x: got a cloud with values"),
    ],
)
def test_clouds_that_do_not_fit_are_refused(x, y, message):
    for couple in (optimal, worst):
        with pytest.raises(ValueError, match=message):
            couple(x, y)


@pytest.mark.parametrize("real", [[-1], [4], [1, 1]])
def test_counts_that_do_not_fit_are_refused(real):
    x = torch.zeros(1, 3, 2)
    with pytest.raises(ValueError, match=r"real_y: .* wanted 1 counts in 0\.\.3"):
        partial(x, x, torch.tensor([2]), torch.tensor(real))
