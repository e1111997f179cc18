"""A process that may crash or hang, heard line by line: what it was doing then is known here."""

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WAIT = 30.0  # seconds that a killed process is waited for


class Stalled(RuntimeError):
    """The process has said nothing for too long; it was killed."""


class Isolated:
    """A process that is given a job on stdin and answers in JSON objects, one to a line of stdout.

    In a `with` block, at the end of which it is gone, whatever happened.
    """

    def __init__(self, command: Sequence[str], job: Mapping[str, Any], errors: Path | None) -> None:
        self._errors = None if errors is None else open(errors, "ab")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._tell(json.dumps(job))

    def messages(self, limit: float) -> Iterator[dict[str, Any]]:
        """Yield what it says until it ends; raise `Stalled` after `limit` seconds of silence."""
        while True:
            try:
                line = self._lines.get(timeout=limit)
            except queue.Empty:
                self._kill()
                raise Stalled(f"nothing was heard for {limit:.0f} s") from None
            if line is None:
                return
            yield json.loads(line)

    def status(self) -> int:
        """Return its exit status once it says no more; negative is the signal that ended it."""
        try:
            return self._process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # what a crash cut short is no message
                    self._lines.put(line)
        self._lines.put(None)

    def _tell(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text)
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already, as `messages` and `status` will say

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait(WAIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._kill()
        if self._errors is not None:
            self._errors.close()
