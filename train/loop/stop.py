"""Ending a run from outside: a signal is noted, and heeded when the step is complete.

What a run can do without, a grid of samples, it leaves at once.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class Left(BaseException):
    """Raised by the first signal in what a run can do without."""


class Stop:
    """Whether the process was asked to end: Ctrl-C, SIGTERM, or SIGHUP of a closed terminal.

    A second Ctrl-C or SIGTERM ends it at once. `noted` is called at the first.
    """

    def __init__(self, noted: Callable[[], object] | None = None) -> None:
        self.signal, self.noted, self.can_leave = 0, noted, False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number != HANG_UP:  # which a shell and a terminal each send
            raise KeyboardInterrupt
        self.signal = number
        if self.noted is not None:
            self.noted()
        if self.can_leave:
            self.can_leave = False
            raise Left

    def unless(self, work: Callable[[], T]) -> T | None:
        """Do work that changes nothing of the run; None if the first signal ended it."""
        try:
            self.can_leave = self.signal == 0
            done = work()
            self.can_leave = False  # here too, so that nothing is raised beyond `except`
            return done
        except Left:
            return None
        finally:
            self.can_leave = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for the duration of a `with` block; under `nohup`, not SIGHUP."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if HANG_UP is not None and signal.getsignal(HANG_UP) != signal.SIG_IGN:
            numbers.append(HANG_UP)
        before = [signal.signal(number, self._note) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a `with` block as Ctrl-C does, by an exception: SystemExit of 143."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
