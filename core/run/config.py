"""Values of a configuration dataclass from text and TOML, and back; no torch import.

A field may be int, float, str, bool, Path, a Literal of those, `tuple[X, ...]` of those, and any of
them `| None`. TOML has no null, so None is the text "none" both in a file and on the command line.
"""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from latentgeo.core.run.text import read_text

PROVENANCE = ("environment", "hashes")  # tables of a run file that record and configure nothing
RESERVED = ("command", "config", "help", *PROVENANCE)  # names that no field may have
WANTED = {int: "an integer", float: "a number", str: "text", bool: "true or false", Path: "a path"}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What one field accepts."""

    scalar: type  # int, float, str, bool or Path
    choices: tuple[object, ...] = ()  # of a Literal; empty is any value
    repeated: bool = False  # tuple[scalar, ...]
    optional: bool = False  # None is a value too
    was: str = ""  # the field's name before it was renamed

    @property
    def wanted(self) -> str:
        """The accepted values in words, for error messages."""
        one = f"one of {', '.join(map(str, self.choices))}" if self.choices else WANTED[self.scalar]
        several = f"a list, each {one}" if self.repeated else one
        return f"{several}, or none" if self.optional else several

    def refuse(self, got: object) -> ValueError:
        """Return the error for a value that is not of this kind."""
        return ValueError(f"got {got!r}, wanted {self.wanted}")


def kinds(cls: type) -> dict[str, Kind]:
    """Return the kind of every field of a dataclass, in order; `TypeError` for one unsupported."""
    hints = get_type_hints(cls)
    was = {field.name: field.metadata.get("was", "") for field in dataclasses.fields(cls)}
    if taken := [name for name in was if name in RESERVED]:
        raise TypeError(f"{cls.__name__}.{taken[0]}: this field name is reserved")
    found = {name: _kind(f"{cls.__name__}.{name}", hints[name]) for name in was}
    return {name: dataclasses.replace(kind, was=was[name]) for name, kind in found.items()}


def renamed(word: str, known: Mapping[str, Kind]) -> str:
    """Return the name that a field called `word` before has now; "" where none was."""
    return next((name for name, kind in known.items() if word and kind.was == word), "")


def _kind(name: str, hint: Any) -> Kind:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType) and len(parts) == 2 and NoneType in parts:
        inner = _kind(name, next(part for part in parts if part is not NoneType))
        return dataclasses.replace(inner, optional=True)
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return dataclasses.replace(_kind(name, parts[0]), repeated=True)
    if origin is Literal and len({type(part) for part in parts}) == 1:
        return Kind(scalar=type(parts[0]), choices=parts)
    if hint in WANTED:
        return Kind(scalar=hint)
    raise TypeError(f"{name}: fields of type {hint} cannot be read from a command line")


def from_text(kind: Kind, text: str | list[str]) -> object:
    """Return the value that the words of a command line stand for, or raise `ValueError`.

    A list of anything but free text may have commas instead of spaces.
    """
    words = [text] if isinstance(text, str) else text
    if kind.repeated and (kind.choices or kind.scalar in (int, float)):
        words = [part for word in words for part in word.split(",")]
    if kind.optional and words == ["none"]:
        return None
    values = tuple(_scalar_from_text(kind, word) for word in words)
    return values if kind.repeated else values[0]


def _scalar_from_text(kind: Kind, word: str) -> object:
    for choice in kind.choices:
        if word == str(choice):
            return choice
    if kind.choices:
        raise kind.refuse(word)
    if kind.scalar is bool:
        return _scalar_from_toml(kind, {"true": True, "false": False}.get(word, word))
    try:
        return kind.scalar(word)
    except ValueError:
        raise kind.refuse(word) from None


def from_toml(kind: Kind, value: object) -> object:
    """Return the field's value for one read from TOML, or raise `ValueError`."""
    if kind.optional and value == "none":
        return None
    if not kind.repeated:
        return _scalar_from_toml(kind, value)
    if not isinstance(value, list):
        raise kind.refuse(value)
    return tuple(_scalar_from_toml(kind, item) for item in value)


def _scalar_from_toml(kind: Kind, value: object) -> object:
    if kind.scalar is float and type(value) is int:
        value = float(value)
    if kind.scalar is Path and isinstance(value, str):
        value = Path(value)
    if not isinstance(value, kind.scalar) or isinstance(value, bool) != (kind.scalar is bool):
        raise kind.refuse(value)
    if kind.choices and value not in kind.choices:
        raise kind.refuse(value)
    return value


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the closest known word, or nothing if none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def read_toml(path: Path, known: Mapping[str, Kind], command: str) -> dict[str, object]:
    """Return the fields that a TOML file sets for `command`.

    Raises `ValueError` for a key that no field has, a value of the wrong kind, a file that another
    command wrote, and text that is not TOML, each naming the file.
    """
    try:
        content = tomllib.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    if (writer := content.pop("command", command)) != command:
        raise ValueError(f"{path} configures {writer!r}, not {command!r}")
    content = {key: value for key, value in content.items() if key not in PROVENANCE}
    return {key: _read_key(path, known, key, value) for key, value in content.items()}


def _read_key(path: Path, known: Mapping[str, Kind], key: str, value: object) -> object:
    if new := renamed(key, known) if key not in known else "":
        raise ValueError(f"{path}: unknown key {key!r}: here it is {new!r} now")
    if key not in known:
        raise ValueError(f"{path}: unknown key {key!r}{nearest(key, known)}")
    try:
        return from_toml(known[key], value)
    except ValueError as error:
        raise ValueError(f"{path}: {key}: {error}") from None


def toml_table(values: Mapping[str, object]) -> str:
    """Return `key = value` lines; None becomes "none"."""
    return "".join(f"{_toml_key(key)} = {_toml_value(value)}\n" for key, value in values.items())


def _toml_key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _toml_value(key)


def _toml_value(value: object) -> str:
    match value:
        case None:
            return '"none"'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case tuple() | list():
            return f"[{', '.join(map(_toml_value, value))}]"
    raise TypeError(f"{type(value).__name__} cannot be written as TOML: {value!r}")
