"""Settings as the command that is typed for them: what `parse` reads, the other way round."""

import dataclasses
import shlex
from typing import Any

from latentgeo.core.run.cli import command_name, flag, parse


def as_line(command: Any) -> str:
    """Return settings as a line for a shell, without what is at its default.

    Raises ValueError for settings that no line has: an empty list where the default is none, or a
    text of a list that looks like a flag.
    """
    words: list[str] = []
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if value != field.default:
            words += _words(field, value)
    name = command_name(type(command))
    try:
        same = parse(type(command), words) == command
    except ValueError:
        same = False
    if not same:
        raise ValueError(f"{name}: got settings that cannot be typed: {shlex.join(words)}")
    return shlex.join(["latentgeo", name, *words])


def _words(field: "dataclasses.Field[Any]", value: object) -> list[str]:
    name = flag(field.name)
    if field.metadata.get("word"):
        return [str(value)]
    if isinstance(value, bool):
        return [name if value else "--no-" + name.removeprefix("--")]
    if isinstance(value, tuple):
        return [name, *map(str, value)]
    text = "none" if value is None else str(value)
    return [f"{name}={text}"] if text.startswith("-") else [name, text]
