"""What a setting in a JSON file may be: its type and range, and the words that an error has.

JSON has one kind of number, and Python takes true for 1: a count is an int, and no bool is one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """The values that a setting may have."""

    wanted: str  # in words
    of: Callable[[object], T | None]  # the value as it is used, None of what is not of this kind


def whole(least: int, most: int) -> Kind[int]:
    """Return the kind of integers in [least, most]."""
    return Kind(
        f"an integer from {least} to {most}",
        lambda found: found if type(found) is int and least <= found <= most else None,
    )


def number(above: float, most: float) -> Kind[float]:
    """Return the kind of numbers in (above, most]."""

    def of(found: object) -> float | None:
        plain = type(found) in (int, float)
        return float(found) if plain and above < found <= most else None  # type: ignore

    return Kind(f"a number above {above:g}, at most {most:g}", of)


def word(allowed: Sequence[str]) -> Kind[str]:
    """Return the kind of a few words."""
    return Kind(
        f"one of {', '.join(allowed)}",
        lambda found: found if isinstance(found, str) and found in allowed else None,
    )


def several(kind: Kind[T], least: int = 1) -> Kind[tuple[T, ...]]:
    """Return the kind of lists of so many values or more, each of a kind."""

    def of(found: object) -> tuple[T, ...] | None:
        if not isinstance(found, list | tuple) or len(found) < least:
            return None
        good = tuple(value for one in found if (value := kind.of(one)) is not None)
        return good if len(good) == len(found) else None

    return Kind(f"a list, each {kind.wanted}", of)


def _flag(found: object) -> bool | None:
    return found if isinstance(found, bool) else None


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _table(found: object) -> dict[str, Any] | None:
    return found if isinstance(found, dict) else None


FLAG = Kind("true or false", _flag)
TEXT = Kind("text", _text)
TABLE = Kind("a table", _table)
CHANNELS = whole(1, 65536)  # of an image, a latent, a layer; also its groups and heads
COUNT = whole(1, 128)  # of layers
IDS = whole(1, 1 << 20)  # of a vocabulary or a codebook
SIDE = whole(1, 16384)  # of an image or a latent
OFFSET = whole(0, 1)  # of the sampling times
EPS = number(0, 1)  # of a norm
SCALE = number(0, 1000)  # of latents
BETA = number(0, math.nextafter(1, 0))  # an end of a noise schedule
DROPOUT = number(math.nextafter(0, -1), math.nextafter(1, 0))
