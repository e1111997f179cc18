"""The kernel distance: its mean over every sample there can be, and a feature map in its place."""

from itertools import product

import pytest
import torch

from latentgeo.eval.metrics.kid import kernel, kernel_distance
from tests.tensors import normal


def cubic(x):
    """Return φ (n, …) with ⟨φ(x), φ(y)⟩ = (xᵀy / D + 1)³: all monomials of (x / √D, 1), thrice."""
    one = torch.cat([x / x.shape[1] ** 0.5, torch.ones_like(x[:, :1])], 1)
    return torch.einsum("ni,nj,nk->nijk", one, one, one).flatten(1)


def test_the_kernel_is_a_product_of_features():
    """KID Sec. 4: of cubic monomials."""
    x, y = normal(5, 3), normal(7, 3, seed=1)
    torch.testing.assert_close(kernel(x, y), cubic(x) @ cubic(y).T, rtol=1e-12, atol=0)


def test_the_mean_over_all_samples_is_the_distance_of_the_distributions():
    """KID Sec. 4: unbiased, also where x_i and y_i belong together: over all samples of 3 pairs of
    a joint distribution on 3 × 3 points, each with its probability, the mean is ‖Σ p φ - Σ q φ‖² of
    its margins; 0 for equal ones.
    """
    points = normal(3, 2)
    joint = torch.tensor([[0.2, 0.1, 0.0], [0.3, 0.0, 0.1], [0.1, 0.1, 0.1]], dtype=torch.float64)
    alone = torch.diag(torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))  # y_i is x_i
    for table in (joint, alone):
        pairs, mean = [(i, j) for i in range(3) for j in range(3) if table[i, j]], 0.0
        for sample in product(pairs, repeat=3):
            chance = float(torch.stack([table[i, j] for i, j in sample]).prod())
            x, y = (points[[pair[k] for pair in sample]] for k in (0, 1))
            mean += chance * kernel_distance(x, y)
        exact = (table.sum(1) @ cubic(points) - table.sum(0) @ cubic(points)).square().sum()
        assert mean == pytest.approx(float(exact), rel=1e-10, abs=1e-12)


def test_far_sets_are_far_and_halves_of_one_set_are_not():
    """KID Sec. 4: at n = 200, by ten draws; the Fréchet distance of such halves never nears 0."""
    x = normal(400, 16)
    near = [kernel_distance(*x[torch.randperm(400)].split(200)) for _ in range(10)]
    far = kernel_distance(x[:200], x[200:] + 0.5)
    assert min(near) < 0 < max(near) and max(map(abs, near)) < far / 5


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (normal(1, 3), normal(4, 3), "n >= 2"),
        (normal(4, 3), normal(4, 2), r"\(4, 3\) and \(4, 2\), wanted one shape"),
        (normal(4, 3), normal(5, 3), "wanted one shape"),
        (normal(4, 3), normal(4, 3) / 0, "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(x, y)
