"""Conditional entropies of tables that can be worked out by hand."""

import math

import pytest
import torch

from latentgeo.core.separability import conditional_entropy, linear_separability


def test_entropy_of_a_known_channel():
    """Iso Eq. 9: a symmetric channel that errs with probability e leaves h(e) open."""
    for e in (0.0, 0.1, 0.5):
        joint = torch.tensor([[1 - e, e], [e, 1 - e]], dtype=torch.float64) / 2
        h = -(e * math.log(e) + (1 - e) * math.log(1 - e)) if e else 0.0
        for count in (1, 70):  # probabilities, counts
            found = conditional_entropy(count * joint)
            assert found.item() == pytest.approx(h, abs=1e-12)


def test_entropy_is_that_of_both_less_that_of_the_machine():
    """Iso Eq. 9: H(Y|X) = H(X, Y) - H(X), and X is the second axis."""
    joint = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def entropy(p):
        p = p / p.sum()
        return -(p * p.log()).sum().item()

    found = conditional_entropy(joint)
    for one, table in zip(found, joint, strict=True):
        wanted = entropy(table.flatten()) - entropy(table.sum(0))
        assert one.item() == pytest.approx(wanted, abs=1e-12)
    blind = torch.tensor([[1.0], [3.0]])  # a machine with one answer
    assert conditional_entropy(blind).item() == pytest.approx(entropy(torch.tensor([1.0, 3.0])))


def test_separability_multiplies():
    """Iso Eq. 9: exp of the sum; 1 where every attribute is known."""
    entropies = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), math.log(3), 0.0]])
    torch.testing.assert_close(linear_separability(entropies), torch.tensor([1.0, 6.0]))


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (torch.zeros(2, 2), r"\(2, 2\) from 0 on"),
        (torch.tensor([[-1.0, 2.0]]), r"\(1, 2\) from -1 on"),
        (torch.ones(3), r"\(3,\) from 1 on"),
        (torch.ones(0, 2), "none"),
    ],
)
def test_what_is_no_table_is_refused(wrong, got):
    """Iso Eq. 9: one axis, negative counts, and no counts at all."""
    with pytest.raises(ValueError, match="joint: wanted counts .*, got " + got):
        conditional_entropy(wrong)
