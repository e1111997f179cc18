"""A pytest plugin of the audit: the largest error that the comparisons of each test have seen.

`latentgeo audit --check` loads it with `-p latentgeo.eval.audit.errors`; nothing else does. It
watches `torch.testing.assert_close`, `torch.allclose`, `torch.equal` and `pytest.approx`. Only a
comparison that holds counts: one that should fail (`assert not torch.allclose(…)`) says nothing of
an error, and one that fails by mistake fails its test.

Error      largest |actual - expected|; relative, that over the comparison's largest |expected|
Report     in the JUnit file, as the properties `error` and `relative` of a test
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

T = TypeVar("T")
SEEN: list[tuple[float, float | None]] = []  # of the test at hand


class Tested:
    """The parts of a pytest item that are used here."""

    user_properties: list[tuple[str, object]]


def pytest_configure() -> None:
    """Watch the functions by which tests compare."""
    import pytest

    torch.testing.assert_close = watched(torch.testing.assert_close, lambda result: True)
    torch.allclose = watched(torch.allclose, bool)
    torch.equal = watched(torch.equal, bool)
    pytest.approx = watched_approx(pytest.approx)  # type: ignore[assignment]


def pytest_runtest_setup() -> None:
    """Forget the test before."""
    SEEN.clear()


def pytest_runtest_teardown(item: Tested) -> None:
    """Leave the largest errors with the test's report."""
    if SEEN:
        item.user_properties.append(("error", max(error for error, _ in SEEN)))
    if relative := [ratio for _, ratio in SEEN if ratio is not None]:
        item.user_properties.append(("relative", max(relative)))


def watched(compare: Callable[..., T], holds: Callable[[T], bool]) -> Callable[..., T]:
    """Return `compare`, which notes the error of its first two arguments where it holds."""

    @functools.wraps(compare)
    def noting(*arguments: object, **options: object) -> T:
        result = compare(*arguments, **options)
        if holds(result):
            both = [
                *arguments,
                *(
                    options[name]
                    for name in ("actual", "expected", "input", "other")
                    if name in options
                ),
            ]
            note(both[0], both[1])
        return result

    return noting


def watched_approx(approx: Callable[..., object]) -> Callable[..., object]:
    """Return `approx`, whose values note the error of what they are found equal to."""

    @functools.wraps(approx)
    def noting(expected: object, *arguments: object, **options: object) -> object:
        made = approx(expected, *arguments, **options)
        kind = type(made)

        def equal(self: object, actual: object) -> bool:
            same = bool(kind.__eq__(self, actual))
            if same:
                note(actual, expected)
            return same

        made.__class__ = type(kind.__name__, (kind,), {"__eq__": equal, "__hash__": None})
        return made

    return noting


def note(actual: object, expected: object) -> None:
    """Add the error of a pair of numbers, tensors, arrays, or collections of them to `SEEN`."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        for key in expected:
            note(actual[key], expected[key])
    elif isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        for one, other in zip(actual, expected, strict=True):
            note(one, other)
    elif (a := numbers(actual)) is not None and (b := numbers(expected)) is not None:
        error, largest = greatest(a - b), greatest(b)
        SEEN.append((error, error / largest if largest > 0 else None))


def numbers(value: object) -> torch.Tensor | None:
    """Return a value as a tensor of double precision on the CPU, or None if it is no number."""
    try:
        tensor = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def greatest(values: torch.Tensor) -> float:
    """Return the largest magnitude among finite values of any shape, 0 if there are none."""
    finite = values.abs()[values.isfinite()]
    return float(finite.max()) if finite.numel() else 0.0
