"""A pytest plugin of the audit: the errors that the comparisons of each test have seen.

`latentgeo audit --check` loads it with `-p latentgeo.eval.audit.errors`. It watches
`torch.testing.assert_close`, `torch.allclose`, `torch.equal` and `pytest.approx`. Only a comparison
that holds counts: one that should fail (`assert not torch.allclose(…)`) says nothing of an error,
and one that fails by mistake fails its test. What rests on chance is compared by `deviates`, what
is printed and not computed by `differs`; both work without the plugin, too.

Error      largest |actual - expected| over the largest |expected|, or itself where that is 0
Report     in the JUnit file, as the properties `error`, `deviation`, `samples`, `differs` of a test
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")
SEEN: list[float] = []  # relative errors of the test at hand
CHANCE: list[tuple[float, int]] = []  # its deviations in standard errors, and of how many samples
PRINT: list[float] = []  # its relative differences between a printed form and ours


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
    for seen in (SEEN, CHANCE, PRINT):
        seen.clear()


def pytest_runtest_teardown(item: Tested) -> None:
    """Leave the largest errors with the test's report."""
    if SEEN:
        item.user_properties.append(("error", max(SEEN)))
    if CHANCE:
        deviation, samples = max(CHANCE)
        item.user_properties += [("deviation", deviation), ("samples", samples)]
    if PRINT:
        item.user_properties.append(("differs", max(PRINT)))


def deviates(measured: object, expected: object, error: object, samples: int) -> float:
    """Return the largest |measured - expected| in standard errors, of `samples` draws; noted.

    `error` is the standard error of what was measured, of its shape or one number.
    """
    gap = tensor_of(measured) - tensor_of(expected)
    deviation = greatest(gap / tensor_of(error))
    CHANCE.append((deviation, samples))
    return deviation


def differs(printed: object, ours: object) -> float:
    """Return by how much a printed form differs from ours, relative to ours; noted."""
    value = relative(tensor_of(printed), tensor_of(ours))
    PRINT.append(value)
    return value


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
        SEEN.append(relative(a, b))


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest |actual - expected| over the largest |expected|, or itself."""
    error, largest = greatest(actual - expected), greatest(expected)
    return error / largest if largest > 0 else error


def tensor_of(value: object) -> torch.Tensor:
    """Return numbers as a tensor of double precision; TypeError for what is none."""
    found = numbers(value)
    if found is None:
        raise TypeError(f"got {value!r}, wanted numbers")
    return found


def numbers(value: object) -> torch.Tensor | None:
    """Return a value as a tensor of double precision on the CPU, or None if it is no number."""
    try:
        given = value.detach().cpu() if isinstance(value, torch.Tensor) else np.asarray(value)
        tensor = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        return None
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def greatest(values: torch.Tensor) -> float:
    """Return the largest magnitude among finite values of any shape, 0 if there are none."""
    finite = values.abs()[values.isfinite()]
    return float(finite.max()) if finite.numel() else 0.0
