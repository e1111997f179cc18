"""Where the code and tests that the ledger names are, and whether their docstrings have its tags.

The ledger names functions, never line numbers; lines are looked up in the syntax tree, so they are
those of the code at hand. Importing this module imports no torch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from latentgeo.eval.audit.ledger import ROOT, TAG, Row

NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Definition:
    """Where a function, class or method is written."""

    line: int  # of `def` or `class`
    first: int  # of its first decorator, or `line`
    source: str  # from there on
    docstring: str


def split_reference(reference: str) -> tuple[str, str]:
    """Return file and name of `file.py:name`, `file.py:Class.name` or `file.py::name`."""
    file, name = re.split(r"::?", reference, maxsplit=1)
    return file, name


def locate(reference: str) -> tuple[str, Definition]:
    """Return a reference's file and definition; LookupError if file or name is not there."""
    file, name = split_reference(reference)
    known = _definitions(ROOT / file)[1]
    if name not in known:
        raise LookupError(f"{reference}: {file} has no {name}")
    return file, known[name]


@cache
def _definitions(path: Path) -> tuple[str, dict[str, Definition]]:
    """Return a file's docstring, and every function, class and method of it by dotted name."""
    if not path.is_file():
        raise LookupError(f"{path.relative_to(ROOT)}: no such file")
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    return ast.get_docstring(tree) or "", dict(_named(tree, "", text.splitlines()))


def _named(node: ast.AST, prefix: str, lines: list[str]) -> Iterator[tuple[str, Definition]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, NAMED):
            name = prefix + child.name
            first = min([child.lineno, *(each.lineno for each in child.decorator_list)])
            source = "\n".join(lines[first - 1 : child.end_lineno])
            yield name, Definition(child.lineno, first, source, ast.get_docstring(child) or "")
            yield from _named(child, name + ".", lines)


def tags_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (tag, where) for every tag in the docstrings of a file, of the module's own too."""
    module, known = _definitions(path)
    texts = {"<module>": Definition(1, 1, "", module)} | known
    for name, place in texts.items():
        for tag in TAG.findall(" ".join(place.docstring.split())):
            yield tag, f"{path.relative_to(ROOT)}:{place.line} {name}"


def problems(row: Row) -> list[str]:
    """Return what is out of step: a reference that does not exist, or lacks the row's tag."""
    if not row.implemented:
        return [f"{row.tag}: not here, yet has code"] if row.code or row.tests else []
    found = []
    if not row.tests or not (row.code or row.erratum):
        found.append(f"{row.tag}: names no code or no test")
    for reference in row.code + row.tests:
        try:
            _, place = locate(reference)
        except LookupError as error:
            found.append(f"{row.tag}: {error}")
            continue
        if row.tag not in TAG.findall(" ".join(place.docstring.split())):
            found.append(f"{row.tag}: the docstring of {reference} does not have the tag")
    return found


def behind(row: Row, root: Path = ROOT) -> set[str]:
    """Return the tests behind a row: those it names, and those of their files that have its tag."""
    files = {split_reference(test)[0] for test in row.tests}
    return set(row.tests) | {
        f"{file}::{name}"
        for file in files
        for name, place in _definitions(root / file)[1].items()
        if name.startswith("test_") and row.tag in TAG.findall(" ".join(place.docstring.split()))
    }


def place_of(reference: str) -> str:
    """Return `file:line name` of a reference, or say that it is not there."""
    try:
        file, place = locate(reference)
    except LookupError:
        absent = reference.startswith("tests/") and not (ROOT / "tests").is_dir()
        return f"{reference} ({'in the repository, not installed' if absent else 'not found'})"
    return f"{file}:{place.line} {split_reference(reference)[1]}"


def source_of(reference: str) -> tuple[int, str] | None:
    """Return the number of a definition's first line and its source, or None if it is not there."""
    try:
        _, place = locate(reference)
    except LookupError:
        return None
    return place.first, place.source
