"""Ending a run from outside: a signal is noted, and heeded when the step is complete."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class Stop:
    """Whether the process was asked to end: Ctrl-C, SIGTERM, or SIGHUP of a closed terminal.

    A second Ctrl-C or SIGTERM ends it at once. `noted` is called at the first.
    """

    def __init__(self, noted: Callable[[], object] | None = None) -> None:
        self.signal, self.noted = 0, noted

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number != HANG_UP:  # which a shell and a terminal each send
            raise KeyboardInterrupt
        self.signal = number
        if self.noted is not None:
            self.noted()

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
