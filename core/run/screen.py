"""Lines on stderr that move while work goes on, drawn by a thread, and text beside them.

On a terminal the line moves every second, in a log it is written every half minute, also within a
step that takes long; a short loop leaves nothing in a log. Of lines within lines one is shown: the
outermost, and behind it the innermost. Imports no torch.

tqdm draws when it is told of a unit, so that its bar stands while a step takes minutes; it draws a
bar below another, and counts units alone, where a run may be ended by its minutes.
"""

import os
import sys
import threading
import time
from shutil import get_terminal_size
from typing import Self, TextIO

ON_TERMINAL, IN_LOG = 1.0, 30.0  # seconds between two looks at a loop
WIDTH = 20  # characters of a bar


class Line:
    """A loop's line, from `open` to `close`; of one that `passes` nothing stays on a terminal."""

    label, passes = "", False

    def open(self) -> None:
        """Show it from now on."""
        self.begun = time.monotonic()
        SCREEN.add(self)

    def close(self) -> None:
        """End the line; a second time does nothing."""
        SCREEN.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def elapsed(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self.begun

    def share(self) -> float | None:
        """Return how much is done, 0 … 1; None where nobody knows."""
        raise NotImplementedError

    def words(self) -> list[str]:
        """Return what else there is to say."""
        raise NotImplementedError

    def text(self, bar: bool) -> str:
        """Return the line, with a drawn bar or without."""
        share, words, head = self.share(), self.words(), f"{self.label}: " if self.label else ""
        if share is None:
            return head + ", ".join([clock(self.elapsed), *words])
        done = f"{100 * share:3.0f}%"
        drawn = f" [{'#' * int(WIDTH * share):.<{WIDTH}}] " if bar else ", "
        return head + done + drawn + ", ".join(words)


class Screen:
    """The lines that are open, outermost first, and the thread that draws them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.lock, self.wake = threading.RLock(), threading.Event()
        self.thread: threading.Thread | None = None
        self.stream: TextIO | None = None
        self.terminal = self.drawn = self.logged = False

    def add(self, line: Line) -> None:
        """Show a line from now on."""
        if sys.stderr is None or os.environ.get("RANK", "0") != "0":
            return
        with self.lock:
            if not self.lines:
                self.stream, self.terminal = sys.stderr, sys.stderr.isatty()
                self.logged = False
            self.lines.append(line)
            if self.terminal:
                self.draw()
            if self.thread is None or not self.thread.is_alive():
                self.wake = threading.Event()
                target = threading.Thread(target=self._watch, args=(self.wake,), daemon=True)
                self.thread = target
                target.start()

    def remove(self, line: Line) -> None:
        """End a line; what the outermost came to stays to be read."""
        with self.lock:
            if line not in self.lines:
                return
            if line is self.lines[0] and (self.terminal or self.logged):
                del self.lines[1:]
                if not line.passes:
                    self.draw("\n")
                elif self.terminal:
                    self._write("\r\033[K")
            self.lines.remove(line)
            if not self.lines:
                self.drawn, self.thread = False, None
                self.wake.set()

    def draw(self, end: str = "") -> None:
        """Draw the line again; in a log, write it below the last."""
        if self.terminal:
            width = get_terminal_size().columns - 1
            self._write("\r" + self.text(True)[:width] + "\033[K" + end)
            self.drawn = not end
        else:
            self._write(self.text(False) + "\n")
            self.logged = True

    def text(self, bar: bool) -> str:
        """Return the outermost's line, and the innermost's where that is another."""
        text = self.lines[0].text(bar)
        return text if len(self.lines) == 1 else f"{text} | {self.lines[-1].text(False)}"

    def state(self) -> tuple[float | None, str]:
        """Return the outermost's share and the text, or no share and none where no line is open."""
        with self.lock:
            return (self.lines[0].share(), self.text(False)) if self.lines else (None, "")

    def say(self, text: str, stream: TextIO) -> None:
        """Print a text, and the line below it again."""
        with self.lock:
            if self.drawn:
                self._write("\r\033[K")
            print(text, file=stream, flush=True)
            if self.drawn:
                self.draw()

    def _watch(self, wake: threading.Event) -> None:
        while not wake.wait(ON_TERMINAL if self.terminal else IN_LOG):
            with self.lock:
                if not wake.is_set() and self.lines:
                    self.draw()

    def _write(self, text: str) -> None:
        assert self.stream is not None
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):  # a reader that is gone; the work goes on
            pass


SCREEN = Screen()


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a text to stdout, or another stream, without spoiling a line that is being drawn."""
    SCREEN.say(text, stream or sys.stdout)


def shown() -> tuple[float | None, str]:
    """Return what is shown now: the share that is done, None where nobody knows, and the line."""
    return SCREEN.state()


def cleared() -> str:
    """Return what clears the line that is drawn, to print first; it is drawn again soon."""
    return "\r\033[K" if SCREEN.drawn else ""


def clock(seconds: float | None) -> str:
    """Return a time as 0:09, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds or 0.0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
