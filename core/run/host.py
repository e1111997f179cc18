"""What a process finds around it, made fit to work in: its streams, and folders for caches.

stdout and stderr take every text: what they have no character for is escaped. Libraries that keep
files in the home folder are given another where that cannot be written to: Triton fails without,
matplotlib complains. Nothing that is computed depends on it. Imports no torch.
"""

import atexit
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

ESCAPED = "backslashreplace"
DEFAULTS = {  # variable -> the folders without it: a variable of the parent, else where that is
    "TRITON_CACHE_DIR": (("TRITON_HOME", "~", ".triton"),),
    "MPLCONFIGDIR": (
        ("XDG_CACHE_HOME", "~/.cache", "matplotlib"),
        ("XDG_CONFIG_HOME", "~/.config", "matplotlib"),
    ),
}


class Messages(io.TextIOWrapper):
    """A stderr whose reader may go and whose disk may fill: what is then said is lost, no more."""

    def write(self, text: str) -> int:
        """Write as any stream does, or not at all."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        try:
            super().flush()
        except OSError:
            return


def open_streams() -> None:
    """Make stdout and stderr fit to print to, whatever they are; safe to call again.

    Characters that a stream's encoding lacks become escapes, as backslash and u03bb for λ. A stream
    that is not there (closed, or a program without a console) swallows what it gets, and its
    descriptor is taken, so that no file that is opened later gets what libraries print. An stderr
    that cannot be written to (a full disk, a reader that left) ends no run and changes no status.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            _occupy(number)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors=ESCAPED))
        elif hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=ESCAPED)
    own = sys.stderr
    if own is sys.__stderr__ and isinstance(own, io.TextIOWrapper):
        sys.stderr = Messages(own.buffer, own.encoding, own.errors, None, True, own.write_through)


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing == number:
            os.set_inheritable(number, True)
        else:
            os.dup2(nothing, number)
            os.close(nothing)


def open_caches() -> None:
    """Give libraries a folder, until the process ends, for what they could not keep."""
    for variable, several in DEFAULTS.items():
        places = [
            Path(os.environ.get(parent) or os.path.expanduser(usual)) / name
            for parent, usual, name in several
        ]
        if variable not in os.environ and not all(map(writable, places)):
            try:
                folder = tempfile.mkdtemp(prefix="latentgeo-")
            except OSError:  # nothing can be written anywhere: whoever needs it will say so
                return
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            os.environ[variable] = folder


def writable(place: Path) -> bool:
    """Return whether a folder is there to be written to, or can be made."""
    there = next((path for path in (place, *place.parents) if path.exists()), place)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
