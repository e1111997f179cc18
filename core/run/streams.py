"""stdout and stderr that can take every text: what they have no character for is escaped.

Imports no torch.
"""

import os
import sys

ESCAPED = "backslashreplace"


def open_streams() -> None:
    """Make stdout and stderr fit to print to, whatever they are; safe to call again.

    Characters that a stream's encoding lacks become escapes, as backslash and u03bb for λ. A stream
    that is not there (closed, or a program without a console) swallows what it gets, and its
    descriptor is taken, so that no file that is opened later gets what libraries print.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            _occupy(number)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors=ESCAPED))
        elif hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=ESCAPED)


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
