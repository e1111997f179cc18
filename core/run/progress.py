"""Progress of a loop, or of parts of known cost: how far it is, its rate, and the time left.

What is shown, and when, is in screen.py. Imports no torch.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Protocol, Self, TypeVar, cast, overload

from latentgeo.core.run.screen import Line, cleared, clock, say

__all__ = ["Bar", "Sections", "cleared", "clock", "passing", "progress", "say"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Bar(Protocol[T_co]):
    """What `progress` returns: iterate over it, or call `update` inside a `with` block."""

    def __iter__(self) -> Iterator[T_co]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def update(self, n: int = 1) -> object:
        """Count n more units as done."""

    def set_postfix(self, **values: object) -> None:
        """Show values, such as the loss, after the rate."""

    def close(self) -> None:
        """End the line; a second time does nothing."""


@overload
def progress(
    items: Iterable[T],
    *,
    total: int | None = ...,
    initial: int = ...,
    label: str = ...,
    unit: str = ...,
    seconds: float | None = ...,
) -> Bar[T]: ...
@overload
def progress(
    *,
    total: int | None = ...,
    initial: int = ...,
    label: str = ...,
    unit: str = ...,
    seconds: float | None = ...,
) -> Bar[None]: ...
def progress(
    items: Iterable[T] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    label: str = "",
    unit: str = "step",
    seconds: float | None = None,
) -> Bar[T] | Bar[None]:
    """Show how far a loop is, its rate and the time left, on stderr of the main process only.

    The loop ends after `total` units, or `seconds` from now, if they are fewer; the line counts
    to what will end it. Without either it shows that time passes.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(cast(Sized, items))
    return cast("Bar[T]", Counter(items, total, initial, label, unit, seconds))


def passing(label: str) -> Bar[None]:
    """Show that time passes; on a terminal the line is gone when it has."""
    bar = Counter(None, None, 0, label, "", None)
    bar.passes = True
    return cast("Bar[None]", bar)


class Counter(Line):
    """A line that counts units."""

    def __init__(
        self,
        items: Iterable[object] | None,
        total: int | None,
        initial: int,
        label: str,
        unit: str,
        seconds: float | None,
    ) -> None:
        self.items, self.total, self.initial, self.done = items, total, initial, initial
        self.label, self.unit, self.seconds = label, unit, seconds
        self.shown: dict[str, object] = {}
        self.idle = 0.0  # seconds aside
        self.since: float | None = None  # when it went aside, if it is now
        if items is None:
            self.open()

    def __iter__(self) -> Iterator[object]:
        assert self.items is not None
        self.open()
        with self:
            for item in self.items:
                yield item
                self.update()

    def update(self, n: int = 1) -> None:
        """Count n more units as done."""
        self.done += n

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Do something else in a `with` block: its time is not in the rate."""
        self.since = time.monotonic()
        try:
            yield
        finally:
            self.idle, self.since = self.aside_for(), None

    def aside_for(self) -> float:
        """Return the seconds that something else took."""
        return self.idle + (0.0 if self.since is None else time.monotonic() - self.since)

    def set_postfix(self, **values: object) -> None:
        """Show values, such as the loss, after the rate."""
        self.shown = values

    def share(self) -> float | None:
        """Return the share of what will end the loop, units or seconds."""
        if self.by_clock():
            return min(self.elapsed / cast(float, self.seconds), 1.0)
        return min(self.done / self.total, 1.0) if self.total else None

    def rate(self) -> float:
        """Return units per second since the loop began, without what is aside."""
        return (self.done - self.initial) / max(self.elapsed - self.aside_for(), 1e-9)

    def left(self) -> float | None:
        """Return the seconds that are left; None where nobody knows."""
        rate = self.rate()
        ends = [] if self.seconds is None else [max(self.seconds - self.elapsed, 0.0)]
        if self.total is not None and rate > 0:
            ends.append(max(self.total - self.done, 0) / rate)
        return min(ends, default=None)

    def by_clock(self) -> bool:
        """Whether the seconds end the loop, not its units."""
        if self.seconds is None:
            return False
        by_units = self.total is not None and self.rate() * (self.seconds - self.elapsed) >= (
            self.total - self.done
        )
        return not by_units

    def words(self) -> list[str]:
        """Return counts, rate, time left and values."""
        if self.by_clock():
            words = [f"{clock(self.elapsed)} of {clock(self.seconds)}", f"{self.unit} {self.done}"]
        elif self.total:
            words = [f"{self.done}/{self.total}"]
        else:
            words = [f"{self.unit} {self.done}"] if self.done else []
        if rate := self.rate():
            fast = rate >= 1
            words += [f"{rate:.1f} {self.unit}/s" if fast else f"{1 / rate:.1f} s/{self.unit}"]
        left = self.left()
        if left and (self.share() or 0) < 1:
            words += [f"{clock(left)} left"]
        return words + [f"{name}={value}" for name, value in self.shown.items()]


class Sections(Line):
    """A line over parts whose cost is known beforehand, in any unit.

    with Sections({"walk": 3, "edit": 1}, "demo") as line:
        with line.section("walk"): …

    The time left is of the parts that are done, per unit of cost; before any is, a unit is `pace`
    seconds. Within a part the clock moves the line, up to nearly its end.
    """

    def __init__(self, costs: Mapping[str, float], label: str = "", pace: float = 1.0) -> None:
        self.costs, self.label, self.first_pace = dict(costs), label, pace
        self.total, self.now = sum(costs.values()), ""
        self.spent: dict[str, float] = {}  # seconds of the parts that are done
        self.open()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Say which part is worked on; it is done at the end of the `with` block."""
        self.now, self.since = name, time.monotonic()
        try:
            yield
        finally:
            self.spent[name], self.now = time.monotonic() - self.since, ""

    def skip(self, name: str) -> None:
        """Leave out a part that is done already."""
        self.total -= self.costs.pop(name)

    def pace(self) -> float:
        """Return seconds per unit of cost."""
        cost = sum(self.costs[name] for name in self.spent)
        return sum(self.spent.values()) / cost if cost else self.first_pace

    def done(self) -> float:
        """Return the cost of what is done, with a guess of the part that is worked on."""
        done = sum(self.costs[name] for name in self.spent)
        if self.now:
            seen = (time.monotonic() - self.since) / max(self.pace(), 1e-9)
            done += min(seen, 0.95 * self.costs[self.now])
        return done

    def share(self) -> float:
        """Return the share of the costs."""
        return min(self.done() / self.total, 1.0) if self.total else 1.0

    def words(self) -> list[str]:
        """Return which part it is, and the time left."""
        number = min(len(self.spent) + 1, len(self.costs))
        words = [f"{number} of {len(self.costs)}: {self.now}"] if self.now else []
        left = self.pace() * (self.total - self.done())
        return [*words, f"{clock(left)} left"] if self.share() < 1 else [clock(self.elapsed)]
