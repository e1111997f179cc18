"""Conditions on the metadata of samples, such as `aesthetic>=6.5`.

A condition is a field's name, one of <, <=, >, >=, == and !=, and a number or a text. Fields are
those of a line of `metadata.jsonl`, its `attributes` included, or of a shard's `.json` member. What
does not meet a condition is left out without a word; an item that lacks the field, or whose value
cannot be compared, is a bad item, so that a misspelt name is not an empty data set in silence.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from latentgeo.infer.data.items import BadItem

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
FORM = re.compile(r"\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>)\s*([^<>=!]+?)\s*")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One comparison of a field with a number, or with a text for == and !=."""

    field: str
    comparison: str
    wanted: float | str

    def __str__(self) -> str:
        """Return the condition as it is written."""
        shown = f"{self.wanted:g}" if isinstance(self.wanted, float) else self.wanted
        return f"{self.field}{self.comparison}{shown}"

    def holds(self, fields: Mapping[str, object], name: str) -> bool:
        """Return whether the item `name` meets it; `BadItem` where it cannot be said."""
        value = fields.get(self.field)
        if value is None:
            raise BadItem(name, f"no field {self.field!r}", f"there are {', '.join(fields)}")
        if isinstance(self.wanted, float):
            value = _number(value, self.field, name)
        return OPERATORS[self.comparison](value, self.wanted)


def conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """Return the conditions that texts such as `width>=512` state.

    Raises `ValueError` that names the text where it is none.
    """
    return tuple(map(condition, texts))


def condition(text: str) -> Condition:
    """Return the condition that a text states, or raise `ValueError` that names it."""
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"where: got {text!r}, wanted a field, one of {' '.join(OPERATORS)} and a value, "
            "such as 'aesthetic>=6.5'"
        )
    field, comparison, value = match.groups()
    wanted = _read(value)
    if isinstance(wanted, str) and comparison not in ("==", "!="):
        raise ValueError(f"where: {text!r} compares with {value!r}, which is no number")
    return Condition(field=field, comparison=comparison, wanted=wanted)


def all_hold(wanted: Iterable[Condition], fields: Mapping[str, object], name: str) -> bool:
    """Return whether an item meets every condition; `BadItem` where it cannot be said."""
    return all(condition.holds(fields, name) for condition in wanted)


def _read(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _number(value: object, field: str, name: str) -> float:
    """Return a JSON number, or a text that is one (a table's columns often are), as a float."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _read(value) if isinstance(value, str) else value
    if not isinstance(found, float):
        raise BadItem(name, f"field {field!r} is no number", repr(value)[:40])
    return found
