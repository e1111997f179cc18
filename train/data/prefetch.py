"""Reads batches ahead on a thread, so that decoding overlaps with the work of the device."""

import queue
import threading
from typing import Self

from torch import Tensor

from latentgeo.train.data.stream import Batches

Item = tuple[tuple[Tensor, list[str]], dict[str, int]] | Exception


class Prefetch:
    """`Batches` read up to `depth` ahead: the same batches, and the state of the one last taken."""

    def __init__(self, batches: Batches, depth: int = 2) -> None:
        """Wrap `batches`, which belongs to the thread from the first batch until `close`."""
        if depth < 1:
            raise ValueError(f"depth is at least 1, got {depth}")
        self.batches, self.depth = batches, depth
        self._state = batches.state()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> tuple[Tensor, list[str]]:
        """Return the next batch; what went wrong on the thread is raised here."""
        if self._thread is None:
            self._start()
        item = self._queue.get()
        if isinstance(item, Exception):
            self._stop()
            raise item
        batch, self._state = item
        return batch

    def state(self) -> dict[str, int]:
        """Return the state after the last batch taken; what was read ahead is not counted."""
        return self._state

    def load_state(self, state: dict[str, int]) -> None:
        """Go to `state`, dropping what was read ahead."""
        self._stop()
        self.batches.load_state(state)
        self._state = self.batches.state()

    def summary(self) -> str:
        """Return one line on the items skipped so far, '' if there are none."""
        return self.batches.summary()

    def close(self) -> None:
        """End the thread and warn about what was skipped; the next batch would start it again."""
        self._stop()
        self.batches.close()

    def _start(self) -> None:
        self._queue: queue.Queue[Item] = queue.Queue(self.depth)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True, name="prefetch")
        self._thread.start()

    def _stop(self) -> None:
        """End the thread and put `batches` back to where the last batch taken left it."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
            self.batches.load_state(self._state)

    def _read(self) -> None:
        while not self._ended.is_set():
            item: Item
            try:
                item = next(self.batches), self.batches.state()
            except Exception as error:  # it is raised again where the batch is wanted
                item = error
            self._put(item)
            if isinstance(item, Exception):
                return

    def _put(self, item: Item) -> None:
        while not self._ended.is_set():
            try:
                return self._queue.put(item, timeout=0.05)
            except queue.Full:
                pass
