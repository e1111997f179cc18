"""The `latentgeo` command: finds a command in the table, imports it, runs it. Imports no torch.

The table is in parts, one beside the rooms that do the work. `python -m latentgeo.core.run` is the
same where the script is not on the path.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from latentgeo.core.run.cli import guarded, run_command, version
from latentgeo.core.run.commands import GROUPS, Command
from latentgeo.core.run.config import nearest
from latentgeo.core.run.progress import passing

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
