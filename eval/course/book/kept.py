"""What a script computed, computed once: kept by the hash of all that it depends on.

That is the source of the script and of every module of this package that it imports, wherever in
it, and they import; the embedded models and data, where one of those modules may read them; the
version of torch; and whether the run is a quick one.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from latentgeo.core.run.cli import version
from latentgeo.core.run.files import atomic_write
from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.course.computed import NUMBERS, compute, files

ZOO = ROOT / "models" / "zoo"


def computed(script: str, quick: bool, folder: Path) -> tuple[dict[str, bytes], bool]:
    """Return the files of a script by name, and whether it ran; they are kept in `folder`."""
    place = folder / f"{script}-{key(script, quick)}"
    if (place / NUMBERS).is_file():  # written last
        return read(place), False
    found = files(compute(script, quick))
    write(found, place)
    return found, True


def read(place: Path) -> dict[str, bytes]:
    """Return the files of a folder by name; nothing where there is no such folder."""
    return {path.name: path.read_bytes() for path in sorted(place.glob("*")) if path.is_file()}


def write(found: Mapping[str, bytes], place: Path) -> None:
    """Write files into a folder, the numbers last."""
    for name in sorted(found, key=lambda name: name == NUMBERS):
        atomic_write(place / name, found[name])


def key(script: str, quick: bool) -> str:
    """Return the hash of all that a script's results depend on, 16 hexadecimal digits."""
    sources = behind(ROOT / "eval" / "course" / "scripts" / f"{script}.py")
    digest = hashlib.sha256(f"{quick} torch {version('torch')}".encode())
    embedded = any(path.is_relative_to(ROOT / "models") for path in sources)
    data = [path for path in sorted(ZOO.rglob("*")) if path.is_file()] if embedded else []
    for path in [*sorted(sources), *data]:
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def behind(path: Path) -> set[Path]:
    """Return a file of this package and all that it imports, at once or in its functions."""
    found, open_ = set[Path](), {path}
    while open_:
        one = open_.pop()
        found.add(one)
        open_ |= set(_imported(one)) - found
    return found


def _imported(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latentgeo"):
            place = ROOT.joinpath(*str(node.module).split(".")[1:])
            several = [place, *(place / alias.name for alias in node.names)]
            yield from (file for one in several if (file := one.with_suffix(".py")).is_file())
