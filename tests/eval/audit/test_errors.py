"""The errors that comparisons have seen, of whatever is compared."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from latentgeo.eval.audit import errors as audit_errors
from latentgeo.eval.audit.errors import (
    CHANCE,
    PRINT,
    SEEN,
    deviates,
    differs,
    note,
    watched,
    watched_approx,
)


@pytest.fixture(autouse=True)
def empty():
    audit_errors.pytest_runtest_setup()
    yield
    audit_errors.pytest_runtest_setup()


@pytest.mark.parametrize(
    ("actual", "expected", "error"),
    [
        (torch.tensor([1.0, 5.0]), torch.tensor([1.5, 4.0]), 0.25),
        (np.array([[3]]), np.array([[2]]), 0.5),
        (3 + 4j, 0j, 5.0),
        (True, True, 0.0),
        (0.1 + 1e-13, 0.1, 1e-12),  # Python's floats keep their precision
        (torch.tensor([float("nan"), 2.0]), torch.tensor([float("nan"), 4.0]), 0.5),
        (torch.tensor([]), torch.tensor([]), 0.0),
    ],
)
def test_error_of_a_pair(actual, expected, error):
    note(actual, expected)
    assert SEEN == pytest.approx([error], rel=1e-2)


def test_collections_are_compared_by_their_items_and_words_not_at_all():
    note({"a": (1.0, 2.0), "b": "x"}, {"a": (1.0, 4.0), "b": "x"})
    assert SEEN == [0.0, 0.5]


def test_only_a_comparison_that_holds_counts():
    close = watched(torch.allclose, bool)
    assert not close(torch.tensor(7.0), torch.tensor(1.0)) and not SEEN
    assert close(torch.tensor(7.0), torch.tensor(8.0), atol=2) and SEEN == [0.125]
    assert_close = watched(torch.testing.assert_close, lambda result: True)
    with pytest.raises(AssertionError):
        assert_close(torch.tensor(7.0), torch.tensor(1.0))
    assert_close(actual=torch.tensor(3.0), expected=torch.tensor(2.0), rtol=1, atol=1)
    assert SEEN[1:] == [0.5]


@pytest.mark.parametrize("expected", [2.0, [2.0, 2.0], {"a": 2.0}, np.array([2.0, 2.0])])
def test_approx_stays_what_it_was(expected):
    approx = watched_approx(pytest.approx)(expected, abs=0.5)
    shift = {dict: lambda d: {"a": d["a"] + by}, list: lambda x: [n + by for n in x]}
    moved = shift.get(type(expected), lambda x: x + by)
    by = 1.0
    assert moved(expected) != approx and not SEEN
    by = 0.25
    assert moved(expected) == approx
    assert max(SEEN) == 0.125


def test_chance_and_print_are_apart_from_errors():
    """Of two means, one 3 standard errors off; of a printed form that is 1/4 too large."""
    assert deviates([1.0, 2.6], [1.1, 2.0], torch.tensor([0.1, 0.2]), 400) == pytest.approx(3)
    assert differs(torch.tensor([5.0]), 4.0) == 0.25
    with pytest.raises(TypeError, match="got 'a', wanted numbers"):
        differs("a", 1.0)
    assert PRINT == [0.25] and CHANCE[0][1] == 400


def test_a_report_has_the_largest_of_a_test():
    item = SimpleNamespace(user_properties=[])
    note(1.0, 2.0)
    note(4.0, 4.5)
    note(0.75, 0.0)
    deviates(1.0, 0.0, 0.5, 10)
    deviates(1.0, 0.0, 1.0, 20)
    differs(3.0, 2.0)
    audit_errors.pytest_runtest_teardown(item)
    wanted = {"error": 0.75, "deviation": 2.0, "samples": 10, "differs": 0.5}
    assert dict(item.user_properties) == wanted
    audit_errors.pytest_runtest_setup()
    assert not SEEN and not CHANCE and not PRINT
