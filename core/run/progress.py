"""Progress of a loop, on stderr: a bar on a terminal, a line now and then in a log.

No mathematics; tqdm is imported where it is used.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Protocol, Self, TypeVar, cast, overload

from latentgeo.core.run.ranks import is_main

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


@overload
def progress(
    items: Iterable[T],
    *,
    total: int | None = ...,
    initial: int = ...,
    label: str = ...,
    unit: str = ...,
) -> Bar[T]: ...
@overload
def progress(
    *, total: int | None = ..., initial: int = ..., label: str = ..., unit: str = ...
) -> Bar[None]: ...
def progress(
    items: Iterable[T] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    label: str = "",
    unit: str = "step",
) -> Bar[T] | Bar[None]:
    """Show how far a loop is, its rate and the time left, on stderr of the main process only.

    A terminal is redrawn as the loop runs; a log file gets a line every half minute.
    """
    from tqdm import tqdm

    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    pause = 0.1 if on_terminal else 30.0
    bar = tqdm(
        items,
        desc=label or None,
        total=total,
        initial=initial,
        unit=f" {unit}",
        disable=sys.stderr is None or not is_main(),
        mininterval=pause,
        maxinterval=max(pause, 10.0),
        delay=0.0 if on_terminal else pause,
        dynamic_ncols=True,
    )
    return cast("Bar[T]", bar)
