"""The `latentgeo` command: finds a command in the table, imports it, runs it. Imports no torch.

The table is in parts, one beside the rooms that do the work. `python -m latentgeo.core.run` is the
same where the script is not on the path.
"""

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from latentgeo.core.run.cli import guarded, run_command, version
from latentgeo.core.run.commands import GROUPS, Command
from latentgeo.core.run.config import nearest

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
    return run_command(named(command.settings), lambda given: named(command.work)(given), rest)


@cache
def groups() -> dict[str, tuple[Command, ...]]:
    """Return the commands of every group, in the order of GROUPS."""
    found = [group for part in PARTS for group in importlib.import_module(part).COMMANDS]
    return {
        name: tuple(one for group in found if group.name == name for one in group.commands)
        for name in GROUPS
    }


def commands() -> dict[str, Command]:
    """Return all commands by name, in the order of `--help`."""
    return {one.name: one for several in groups().values() for one in several}


def named(place: str) -> Any:
    """Import and return what `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def overview() -> str:
    """Return the text of `latentgeo --help`."""
    width = max(map(len, commands()))
    lines = ["usage: latentgeo <command> [options]", ""]
    lines += ["The geometry of diffusion models' latent spaces."]
    for group, several in groups().items():
        lines += ["", f"{group}: {GROUPS[group]}"]
        lines += [f"  {one.name:<{width}}  {one.help}" for one in several]
    lines += ["", "latentgeo <command> --help lists a command's options; latentgeo --version."]
    return "\n".join(lines)


def _refuse(name: str) -> None:
    kind = "option" if name.startswith("-") else "command"
    hint = nearest(name, commands()) or "; latentgeo --help lists the commands"
    raise ValueError(f"unknown {kind} {name!r}{hint}")
