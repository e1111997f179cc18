"""The `latentgeo` command: finds a command in the table, imports it, runs it. Imports no torch.

The table is in parts, one beside the rooms that do the work. `python -m latentgeo.core.run` is the
same where the script is not on the path. What work raises, and what it warns of, is a line on
stderr and an exit status (`guarded`).
"""

import dataclasses
import importlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from latentgeo.core.run.cli import command_name, flag, parse, version
from latentgeo.core.run.commands import GROUPS, Command
from latentgeo.core.run.config import nearest
from latentgeo.core.run.host import open_caches, open_streams
from latentgeo.core.run.lock import locked
from latentgeo.core.run.progress import cleared, passing

T = TypeVar("T")
TO_PROGRAMMERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)
PARTS = ("latentgeo.infer.commands", "latentgeo.train.commands", "latentgeo.eval.commands")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `latentgeo <command> ...` and return the process's exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in ("-h", "--help"):
        return guarded("latentgeo", lambda: print(overview()))
    if name == "--version":
        return guarded("latentgeo", lambda: print(f"latentgeo {version('latentgeo')}"))
    if name not in commands():
        return guarded("latentgeo", lambda: _refuse(name))
    command = commands()[name]
    return run_command(command.settings_class(), lambda given: _loaded(command)(given), rest)


@cache
def commands() -> dict[str, Command]:
    """Return all commands by name, in the order of `--help`."""
    found = [one for part in PARTS for one in importlib.import_module(part).COMMANDS]
    order = list(GROUPS)
    return {one.name: one for one in sorted(found, key=lambda one: order.index(one.group))}


def overview() -> str:
    """Return the text of `latentgeo --help`."""
    width = max(map(len, commands()))
    lines = ["usage: latentgeo <command> [options]", ""]
    lines += ["The geometry of diffusion models' latent spaces."]
    for group, text in GROUPS.items():
        lines += ["", f"{group}: {text}"]
        several = [one for one in commands().values() if one.group == group]
        lines += [f"  {one.name:<{width}}  {one.help}" for one in several]
    lines += ["", "latentgeo <command> --help lists a command's options; latentgeo --version."]
    return "\n".join(lines)


def _loaded(command: Command) -> Callable[[Any], object]:
    """Import and return a command's work; it says that it does, while torch comes from the disk."""
    with passing("loading"):
        return command.work_function()


def _refuse(name: str) -> None:
    kind = "option" if name.startswith("-") else "command"
    hint = nearest(name, commands()) or "; latentgeo --help lists the commands"
    raise ValueError(f"unknown {kind} {name!r}{hint}")


def run_command(
    settings: type[T], work: Callable[[T], object], argv: Sequence[str] | None = None
) -> int:
    """Parse `argv`, do the work, print what it returns, and return the exit status (`guarded`)."""
    name = f"latentgeo {command_name(settings)}"
    return guarded(name, lambda: show(alone(parse(settings, argv), work)), _options(settings))


def sentence(settings: type, said: Exception | str) -> str:
    """Return the line that a command prints of an error or a warning, without its own name."""
    return as_typed(_one_line(said), _options(settings))


def _options(settings: type) -> list[str]:
    fields = dataclasses.fields(settings)
    return [field.name for field in fields if "word" not in field.metadata]


def alone(settings: T, work: Callable[[T], object]) -> object:
    """Do the work while no other process writes to the same place (`locked`)."""
    with ExitStack() as stack:
        for name, path, is_file in outputs(settings):
            try:
                stack.enter_context(locked(path, is_file))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return work(settings)


def outputs(settings: Any) -> Iterator[tuple[str, Path, bool]]:
    """Yield the name and value of each field made by `output` that is set, and if it is a file."""
    for field in dataclasses.fields(settings):
        path = getattr(settings, field.name)
        if "files" in field.metadata and path is not None:
            is_file = path.name.lower().endswith(field.metadata["files"])
            yield field.name.rstrip("_"), path, is_file


def show(result: object) -> None:
    """Print text, a path, or several paths a line each; what else work returns is for Python."""
    lines = result if isinstance(result, list) else [result]
    for line in lines:
        if isinstance(line, str | Path):
            print(line)


def guarded(name: str, action: Callable[[], object], options: Iterable[str] = ()) -> int:
    """Run `action` and return 0, or print `<name>: <why>` on stderr and return why it failed.

    2 is a wrong value (`ValueError`, `FileNotFoundError`; `options` are named `as_typed`), 1 a
    failure of the machine or the computation (`RuntimeError`, `OSError`), 130 an interrupt, 141 a
    reader that closed the pipe.
    Any other exception is a bug of ours and propagates. LATENTGEO_TRACEBACK=1 adds the traceback.
    A warning is such a line, too (`_warnings_in_a_line`).
    """
    options = tuple(options)
    open_streams()
    open_caches()
    try:
        with _warnings_in_a_line(name, options):
            action()
        sys.stdout.flush()
    except SystemExit as stop:
        return _exit_status(stop)
    except KeyboardInterrupt:
        return _fail(name, "interrupted", 130)
    except BrokenPipeError:
        _drop_stdout()
        return 141
    except (ValueError, FileNotFoundError) as error:
        return _fail(name, as_typed(_one_line(error), options), 2)
    except (RuntimeError, OSError) as error:
        return _fail(name, _one_line(error), 1)
    return 0


def as_typed(sentence: str, options: Iterable[str]) -> str:
    """Return a sentence about options with their flags for their fields' names.

    Such a sentence begins with them: "seeds: got …", "rank must be …", "prompt and images: got …".
    """
    name = f"(?:{'|'.join(options) or '(?!)'})"
    about = rf"{name}(?:(?:, | and | or ){name})*(?=:| must | is )"
    found = re.match(about, sentence)
    head = re.sub(rf"\b{name}\b", lambda one: flag(one[0]), found[0]) if found else ""
    return head + sentence[found.end() if found else 0 :]


@contextmanager
def _warnings_in_a_line(name: str, options: Sequence[str]) -> Iterator[None]:
    """Show what users are warned of without the line of code that does.

    What packages tell programmers, of a name that goes or of what will be, is for those who ask
    for it: with python's -W, PYTHONWARNINGS or LATENTGEO_TRACEBACK=1 it says where it is.
    """
    usual = warnings.formatwarning
    asked = bool(sys.warnoptions) or os.environ.get("LATENTGEO_TRACEBACK") == "1"

    def form(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
        if issubclass(category, TO_PROGRAMMERS):
            return cleared() + usual(message, category, *place, **line) if asked else ""
        return cleared() + f"{name}: {as_typed(_one_line(message), options)}\n"

    warnings.formatwarning = form
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _exit_status(stop: SystemExit) -> int:
    """Return the status argparse leaves with after `--help`; text as a status is not ours."""
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    raise stop


def _fail(name: str, message: str, status: int) -> int:
    if os.environ.get("LATENTGEO_TRACEBACK") == "1":
        traceback.print_exc()
    print(f"{name}: {message}", file=sys.stderr)
    return status


def _one_line(error: Exception | str) -> str:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(message.split()) or type(error).__name__


def _drop_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not fail a second time."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
