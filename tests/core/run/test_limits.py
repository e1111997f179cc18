"""A field beyond its limits is an error that names it; one that is not set has none."""

from dataclasses import dataclass
from math import nan

import pytest

from latentgeo.core.run.limits import at_least, check_size, each_once, nearest, positive, within


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int = 3
    rate: float = 0.5
    size: int | None = None
    times: tuple[int, ...] = (5, 7)


@pytest.mark.parametrize("given", [{"steps": 2}, {"times": (5, 2)}, {"rate": nan}])
def test_at_least_names_the_field_and_what_it_holds(given):
    (name,) = given
    with pytest.raises(ValueError, match=rf"^{name} must be at least 3, got (2|nan)$"):
        at_least(Settings(**given), 3, "size", name)


def test_at_least_takes_the_limit_itself_and_what_is_unset():
    at_least(Settings(), 3, "steps", "size", "times")


def test_positive_excludes_nothing_but_what_is_not_above_zero():
    positive(Settings(rate=1e-300), "rate", "size")
    for rate in (0.0, -2.0, nan):
        with pytest.raises(ValueError, match=r"^rate must be positive, got"):
            positive(Settings(rate=rate), "rate")


def test_within_has_its_lower_end_and_not_its_upper():
    within(Settings(rate=0.0), 0, 1, "rate")
    for rate in (-0.1, 1.0, nan):
        with pytest.raises(ValueError, match=r"^rate must be at least 0 and below 1, got"):
            within(Settings(rate=rate), 0, 1, "rate")


@pytest.mark.parametrize("times", [(), (5, 7, 5)])
def test_each_once_refuses_none_and_one_twice(times):
    each_once(Settings(), "times")
    with pytest.raises(ValueError, match=r"^times: got \[.*\], wanted at least one, each once$"):
        each_once(Settings(times=times), "times")


def test_the_sizes_next_to_one_that_does_not_fit():
    assert [nearest(side, 8) for side in (1, 8, 9, 23, 24)] == [
        "8",
        "8",
        "8 or 16",
        "16 or 24",
        "24",
    ]
    check_size(24, 8)
    for size, words in ((20, "16 or 24"), (0, "8"), (-3, "8"), (5, "8")):
        with pytest.raises(
            ValueError, match=rf"multiple of 8 pixels, got {size}; {words} would do"
        ):
            check_size(size, 8)
