"""Lines of code in a process of its own that is forked: it need not import torch again."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from typing import Any, NoReturn


class Forked:
    """What `python -c CODE WORDS` would be, but for the modules that this process has loaded."""

    def __init__(self, code: str, *words: str, stdin: str = "", **environment: str) -> None:
        self.files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.status: int | None = None
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):  # the child would write what waits here again
                stream.flush()
        self.pid = os.fork()
        if not self.pid:
            self._be(code, words, stdin, environment)

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs; negative is the signal that ended it."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def kill(self) -> None:
        """End it without warning."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> "subprocess.CompletedProcess[str]":
        """Wait for its end and return its status and what it said."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        said = []
        for file in self.files:
            file.seek(0)
            said.append(file.read())
        return subprocess.CompletedProcess([], self.status, *said)

    def _be(self, code: str, words: Any, stdin: str, environment: dict[str, str]) -> NoReturn:
        status = 1
        try:
            for number, file in enumerate(self.files, start=1):
                os.dup2(file.fileno(), number)
            sys.stdin = io.StringIO(stdin)
            sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))
            os.environ.update(environment)
            sys.argv = ["-c", *words]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)


def forked(code: str, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the code to its end."""
    return Forked(code, *words, stdin=stdin).wait()
