"""Command-line machinery: a frozen keyword-only dataclass is the settings of a subcommand.

Importing this module imports no torch, so that `--help` answers at once. Settings look like

    @dataclass(frozen=True, kw_only=True)
    class Sample:
        "Draw images from prompts."

        prompts: tuple[str, ...] = required("what to draw, one image per prompt")
        seed: int = option(0, "seed of the initial noise")

and a function takes them and does the work: `sample_images(Sample(prompts=("a face",)))`. The table
of commands (core/run/commands.py) says which belongs to which.

Each field becomes a flag (`--prompts`, `--seed`; a bool has `--x` and `--no-x`; `from_` is
`--from`), or a word without one. `--config FILE` reads fields from TOML first, or from a recipe of
the folder that has the command (`train/recipes`); flags override it. `--resume` reads the settings
of the run in `--out` before both. Work fails by raising (core/run/main.py).
"""

import argparse
import dataclasses
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from latentgeo.core.run.config import (
    Kind,
    from_text,
    kinds,
    nearest,
    read_toml,
    renamed,
    toml_table,
)
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.limits import check_seed
from latentgeo.core.run.text import read_text

T = TypeVar("T")
RUN = "run.toml"  # the settings of a run, in its folder
PACKAGES = ("latentgeo", "torch", "triton", "numpy", "safetensors", "tokenizers", "lpips")


def option(default: T, help: str, was: str = "") -> T:
    """Return a dataclass field with a default value and a line of help.

    `was` is the name that the field had before, which is refused with the new one named.
    """
    return dataclasses.field(default=default, metadata={"help": help, "was": was})


def required(help: str, was: str = "") -> Any:
    """Return a dataclass field that has no default, with a line of help; `was` as for `option`."""
    return dataclasses.field(metadata={"help": help, "was": was})


def word(help: str, default: Any = dataclasses.MISSING) -> Any:
    """Return a dataclass field that has no flag: it stands behind the command."""
    return dataclasses.field(default=default, metadata={"help": help, "word": True})


def output(help: str, *endings: str, default: Any = dataclasses.MISSING, was: str = "") -> Any:
    """Return a dataclass field of what a command writes, with a line of help; `was` as above.

    It is a folder, or a file where its name has one of the endings ("" is every name's).
    """
    about = {"help": help, "files": endings, "was": was}
    return dataclasses.field(default=default, metadata=about)


def command_name(command: type) -> str:
    """Return the subcommand of a class: `TrainVae` is `train-vae`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", command.__name__).lower()


def flag(name: str) -> str:
    """Return the command-line flag of a field: `batch_size` is `--batch-size`."""
    return "--" + name.rstrip("_").replace("_", "-")


def line(name: str, **options: object) -> str:
    """Return a command as it is typed; options that are None, False or empty are left out."""
    words = ["latentgeo", name]
    for key, value in options.items():
        if value is None or value is False or value == ():
            continue
        words.append(flag(key))
        several = value if isinstance(value, list | tuple) else [value]
        words += [] if value is True else map(str, several)
    return shlex.join(words)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions, so that all errors leave by one door."""

    def error(self, message: str) -> NoReturn:
        """Raise `ValueError` with argparse's message."""
        raise ValueError(message.removeprefix("argument "))


def build_parser(command: type) -> Parser:
    """Return the parser of a command; what it yields are words, which `parse` turns into values."""
    parser = Parser(
        prog=f"latentgeo {command_name(command)}",
        description=command.__doc__,
        epilog="A value of 'none' leaves an optional setting unset. LATENTGEO_TRACEBACK=1 shows "
        "where an error came from.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    named = f", or a recipe: {', '.join(found)}" if (found := recipes(command)) else ""
    text = f"TOML file with any of the settings below{named}"
    parser.add_argument("--config", metavar="FILE", help=text)
    known = kinds(command)
    for field in sorted(dataclasses.fields(command), key=lambda one: not _is_required(one)):
        _add_flag(parser, field, known[field.name])
    return parser


def recipes(command: type) -> dict[str, Path]:
    """Return the files in `recipes` of the folder whose rooms have a command, which are for it."""
    folder = sys.modules.get(".".join(command.__module__.split(".")[:2]))  # latentgeo.train
    place = getattr(folder, "__file__", None)
    files = sorted((Path(place).parent / "recipes").glob("*.toml")) if place else []
    line = f'command = "{command_name(command)}"'
    return {path.stem: path for path in files if line in read_text(path)}


def _add_flag(parser: Parser, field: "dataclasses.Field[Any]", kind: Kind) -> None:
    text = f"{field.metadata.get('help', '')} {_default(field)}".strip().replace("%", "%%")
    if kind.scalar is bool and not kind.repeated:
        action = argparse.BooleanOptionalAction
        parser.add_argument(flag(field.name), action=action, help=text)
        return
    metavar = kind.scalar.__name__.upper().replace("STR", "TEXT")
    if kind.choices:
        metavar = "{" + ",".join(map(str, kind.choices)) + "}"
    if field.metadata.get("word"):
        parser.add_argument(field.name, metavar=field.name.upper(), help=text, nargs="?")
    elif kind.repeated:
        parser.add_argument(
            flag(field.name), metavar=metavar, help=text, nargs="+", action="extend"
        )
    else:
        parser.add_argument(flag(field.name), dest=field.name, metavar=metavar, help=text)


def _default(field: "dataclasses.Field[Any]") -> str:
    if _is_required(field):
        return "(required)"
    default = field.default if field.default_factory is dataclasses.MISSING else None
    if isinstance(default, tuple):
        return f"(default: {' '.join(map(str, default))})" if default else ""
    return "" if default in (None, "") else f"(default: {default})"


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def parse(command: type[T], argv: Sequence[str] | None = None) -> T:
    """Return the command that `argv` (default: the process's) describes.

    Raises `ValueError` for a flag or config key that does not exist, a value of the wrong kind, a
    required setting that is missing, and whatever the command's `__post_init__` raises.
    """
    words, unknown = build_parser(command).parse_known_args(argv)
    known = kinds(command)
    if unknown:
        raise ValueError(_unknown(unknown[0], known))
    given = vars(words)
    config = given.pop("config", None)
    path = _config(config, recipes(command)) if config else None
    values: dict[str, Any] = read_toml(path, known, command_name(command)) if path else {}
    values |= {name: _value(name, known[name], word) for name, word in given.items()}
    place = Path(values["out"]) / RUN if given.get("resume") and "out" in values else None
    if place is not None and place.is_file():
        values = read_toml(place, known, command_name(command)) | values
    elif place is not None and not config and set(given) == {"resume", "out"}:
        raise FileNotFoundError(f"--resume: {given['out']} holds no run: there is no {place}")
    for field in dataclasses.fields(command):  # type: ignore[arg-type]
        if _is_required(field) and field.name not in values:
            name = field.name.upper() if field.metadata.get("word") else flag(field.name)
            raise ValueError(f"{name} is required: {field.metadata.get('help', '')}")
    for name in (name for name in values if name.startswith("seed")):
        for seed in values[name] if known[name].repeated else (values[name],):
            check_seed(seed, name)
    return command(**values)


def _config(name: str, known: Mapping[str, Path]) -> Path:
    """Return the file of a recipe, or the file of that name; what is neither is refused."""
    if name not in known and not Path(name).exists():
        hint = nearest(name, known) or (f"; recipes are {', '.join(known)}" if known else "")
        raise FileNotFoundError(f"--config: no such file: {name}{hint}")
    return known.get(name, Path(name))


def _unknown(word: str, known: Mapping[str, Kind]) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {word!r}"
    name = word.split("=")[0]
    old = name.removeprefix("--").removeprefix("no-").replace("-", "_")
    if new := renamed(old, known):
        return f"unknown option {name}: here it is {flag(new)} now"
    return f"unknown option {name}{nearest(name, ['--config', *map(flag, known)])}"


def _value(name: str, kind: Kind, word: str | list[str] | bool) -> object:
    if isinstance(word, bool):
        return word
    try:
        return from_text(kind, word)
    except ValueError as error:
        raise ValueError(f"{flag(name)}: {error}") from None


def to_toml(command: Any, hashes: Mapping[str, str] | None = None) -> str:
    """Return a TOML text that `--config` reads back into an equal command.

    Tables of the versions used and of `hashes` (file name to SHA-256) follow; they are a record.
    """
    fields = {field.name: getattr(command, field.name) for field in dataclasses.fields(command)}
    text = toml_table({"command": command_name(type(command))} | fields)
    text += f"\n[environment]\n{toml_table(environment())}"
    return text + (f"\n[hashes]\n{toml_table(hashes)}" if hashes else "")


def write_run(command: Any, folder: Path, hashes: Mapping[str, str] | None = None) -> Path:
    """Write `folder/run.toml`, from which `--config` repeats this run, and return its path."""
    return atomic_write(folder / RUN, to_toml(command, hashes))


def version(package: str) -> str:
    """Return an installed distribution's version, or `not installed`."""
    from importlib import metadata  # here because it takes longer than `--help` should

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def environment() -> dict[str, str]:
    """Return the versions and the processor that a result depends on; imports none of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": str(cores),
    }
    return machine | {package: version(package) for package in PACKAGES}


def _cpu() -> str:
    try:
        lines = read_text(Path("/proc/cpuinfo")).splitlines()
    except (OSError, ValueError):
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
