"""Patterns of PEFT against names of layers, as PEFT matches them, and for seconds at most.

A pattern out of a file can take for ever, and nothing stops a match in its own process. What has
more than a name in it is therefore matched in a process apart, which runs this file as a program.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache

SECONDS = 5  # that all patterns of a file may take on all layers; usual ones take 0.05
PLAIN = re.compile(r"[\w.]*")  # a name: nothing in it repeats or branches


def first_matches(patterns: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the first pattern that fits, by name, for the names that one fits.

    Raises ValueError for what is no pattern, and for patterns that take too long.
    """
    if all(PLAIN.fullmatch(pattern) for pattern in patterns):
        return _found(patterns, names)
    answer = _apart(tuple(patterns), tuple(names))
    if isinstance(answer, str):
        raise ValueError(answer)
    return answer


def _found(patterns: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    compiled = {}
    for pattern in patterns:
        try:
            compiled[pattern] = re.compile(rf"(.*\.)?({pattern})$")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r} is no pattern: {error}") from None
    fits = {name: [p for p, form in compiled.items() if form.match(name)][:1] for name in names}
    return {name: found[0] for name, found in fits.items() if found}


@lru_cache
def _apart(patterns: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str] | str:
    """Return what another process finds, or in words why it finds nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps([patterns, names]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        found: dict[str, str] | str = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return f"{_short(patterns)} took more than {SECONDS} s to match, wanted simpler patterns"
    except (OSError, ValueError) as error:
        return f"{_short(patterns)} could not be matched: {error}"
    return found


def _short(patterns: Sequence[str]) -> str:
    text = ", ".join(map(repr, patterns))
    return text if len(text) < 200 else f"{text[:200]}…"


if __name__ == "__main__":
    try:
        said: dict[str, str] | str = _found(*json.load(sys.stdin))
    except ValueError as refusal:
        said = str(refusal)
    print(json.dumps(said))
