"""The time of a run: what it may take, what is due, and how long the rest of it takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from latentgeo.train.loop.settings import Training
from latentgeo.train.loop.told import duration

MEASURED = 5.0  # seconds of steps, after the first, that tell how long a run takes


class Watch:
    """One call of a run, from now on; `spent` seconds were used by one that was stopped."""

    def __init__(self, settings: Training, step: int, spent: float = 0.0) -> None:
        self.settings, self.before = settings, spent
        self.begun = self.saved = self.drawn = time.monotonic()
        self.logged, self.drawing = (self.begun, step), 0.0  # seconds that a sample grid took
        self.first: tuple[float, int] | None = None  # when the first step ended, which warms up
        self.told = False

    def elapsed(self) -> float:
        """Return the seconds of this call."""
        return time.monotonic() - self.begun

    def spent(self) -> float:
        """Return the seconds used of the run's minutes; none of the next ones if they are over."""
        return 0.0 if self.late() else self.before + self.elapsed()

    def left(self) -> float | None:
        """Return the seconds that are left of the run's minutes; None without any."""
        minutes = self.settings.minutes
        return None if minutes is None else 60 * minutes - self.before - self.elapsed()

    def late(self) -> bool:
        """Whether the run's minutes are over."""
        left = self.left()
        return left is not None and left < 0

    def save_due(self) -> bool:
        """Whether the clock asks for a checkpoint."""
        return time.monotonic() - self.saved > 60 * self.settings.checkpoint_minutes

    def draw_due(self) -> bool:
        """Whether the clock asks for a sample grid, of a run that draws any.

        On a slow machine less often, so that grids take a tenth of the time at the most.
        """
        pause = max(60 * self.settings.sample_minutes, 9 * self.drawing)
        return self.settings.sample_every > 0 and time.monotonic() - self.drawn > pause

    @contextmanager
    def draws(self) -> Iterator[None]:
        """Draw a sample grid in a `with` block, for which the steps wait.

        One before the first step is not of the run's minutes.
        """
        begun = time.monotonic()
        try:
            yield
        finally:
            self.drawn = time.monotonic()
            self.drawing = self.drawn - begun
            self.logged = (self.logged[0] + self.drawing, self.logged[1])
            if self.first is None:
                self.begun += self.drawing
            else:
                self.first = (self.first[0] + self.drawing, self.first[1])

    def duration(self, step: int) -> str:
        """Return once, when it is known, how long the rest after a step takes; "" else."""
        now = time.monotonic()
        if self.first is None:
            self.first = (now, step)
        seconds, steps = now - self.first[0], step - self.first[1]
        rest = self.settings.steps - step
        if self.told or not steps or seconds < MEASURED or rest < 1:
            return ""
        self.told = True
        return duration(self.settings, rest, seconds / steps, self.left())
