"""The equation ledger core/PAPERS.md as data: papers, rows, and where the code and tests are.

The ledger names functions, never line numbers; lines are looked up in the syntax tree, so they are
those of the code at hand. Importing this module imports no torch.

Ledger    `## Key: title` opens a paper, then `By … , year.` and its arXiv id, a table of notation,
          `Errata` as a list, and a table `Equation | Statement | Code | Test | Notes`;
          Code holds `file.py:name` or `file.py:Class.name`, Test `file.py::name`, each in backticks
Tag       `<Key> Eq. <n>`, also Alg., Thm., Sec. and Tab., written the same in docstrings
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "core" / "PAPERS.md"
KEYS = (
    "Smooth SmoothS Asyrp Iso OT DDPM IDDPM ADM DDIM LDM LoRA CFG NTI CLIP CLIPScore LPIPS "
    "FID KID Drag GLU SDEdit P2P PnP ANID Adam SSIM"
).split()
TAG = re.compile(
    rf"\b(?:{'|'.join(KEYS)}) (?:Eq|Alg|Thm|Sec|Tab)\. "
    r"(?:(?:[A-Z]\.)?\d+(?:\.\d+)*[a-z]?|[A-Z](?!\.\d))\b"
)
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Row:
    """One equation: its tag, what it says, who codes it, who tests it, and how it was treated."""

    tag: str  # Smooth Eq. 9
    statement: str
    code: tuple[str, ...]  # core/smooth.py:regularizer
    tests: tuple[str, ...]  # tests/core/test_smooth.py::test_x
    notes: str  # begins with verbatim, rearranged, corrected or not implemented

    @property
    def key(self) -> str:
        """The paper's key, as in `Smooth`."""
        return self.tag.split()[0]

    @property
    def implemented(self) -> bool:
        """Whether there is code to point at."""
        return not self.notes.startswith("not implemented")


@dataclass(frozen=True)
class Paper:
    """One section of the ledger."""

    key: str  # Smooth
    title: str
    authors: tuple[str, ...]  # given name first
    year: str
    about: str  # the prose below the title: arXiv id, version, venue
    notation: tuple[tuple[str, str], ...]  # the paper's symbol, ours
    errata: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def arxiv(self) -> str:
        """The arXiv id without its version, or nothing where there is none."""
        found = re.match(r"(?:[^.]* )?arXiv (\d{4}\.\d{4,5})", self.about)
        return found[1] if found else ""


def papers() -> tuple[Paper, ...]:
    """Return the ledger's papers in its order."""
    sections = LEDGER.read_text(encoding="utf-8").split("\n## ")[1:]
    return tuple(_paper(section) for section in sections)


def _paper(section: str) -> Paper:
    head, body = section.split("\n", 1)
    key, title = head.split(": ", 1)
    lines = body.splitlines()
    prose = [line for line in lines if line and line[0] not in "|-" and "Errata" not in line]
    by = re.fullmatch(r"By (.+), (\d{4})\.", prose[0]) if prose else None
    names = re.split(r", (?:and )?| and ", by[1]) if by else []
    pairs = [_cells(line) for line in lines if line.startswith("|")]
    return Paper(
        key,
        title,
        tuple(names),
        by[2] if by else "",
        " ".join(prose[1:] if by else prose),
        tuple((a, b) for a, b, *more in pairs if not more and a != "paper" and ":--" not in a),
        tuple(line[2:] for line in lines if line.startswith("- ")),
        parse_ledger(section),
    )


def rows(paper: str | None = None) -> tuple[Row, ...]:
    """Return the ledger's rows, or those of one paper; ValueError names an unknown key."""
    found = parse_ledger(LEDGER.read_text(encoding="utf-8"))
    known = sorted({row.key for row in found})
    if paper is not None and paper not in known:
        raise ValueError(f"paper must be one of {', '.join(known)}, got {paper!r}")
    return tuple(row for row in found if paper in (None, row.key))


def parse_ledger(text: str) -> tuple[Row, ...]:
    """Return the rows of a ledger; ValueError names a line that is not a row of five cells."""
    found, inside = [], False
    for number, line in enumerate(text.splitlines(), 1):
        inside = line.startswith("|") and (inside or line.startswith("| Equation |"))
        if not inside or line.startswith(("| Equation |", "| :--")):
            continue
        cells = _cells(line)
        if len(cells) != 5 or not TAG.fullmatch(cells[0]):
            raise ValueError(f"PAPERS.md line {number}: wanted tag and four cells, got {line!r}")
        tag, statement, code, tests, notes = cells
        found.append(Row(tag, statement, _quoted(code), _quoted(tests), notes))
    return tuple(found)


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line)[1:-1]
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _quoted(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


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
    known = _definitions(ROOT / file)
    if name not in known:
        raise LookupError(f"{reference}: {file} has no {name}")
    return file, known[name]


@cache
def _definitions(path: Path) -> dict[str, Definition]:
    """Return every function, class and method of a file, by dotted name."""
    if not path.is_file():
        raise LookupError(f"{path.relative_to(ROOT)}: no such file")
    text = path.read_text(encoding="utf-8")
    return dict(_named(ast.parse(text), "", text.splitlines()))


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
    module = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    texts = {"<module>": Definition(1, 1, "", module)} | _definitions(path)
    for name, place in texts.items():
        for tag in TAG.findall(" ".join(place.docstring.split())):
            yield tag, f"{path.relative_to(ROOT)}:{place.line} {name}"


def problems(row: Row) -> list[str]:
    """Return what is out of step: a reference that does not exist, or lacks the row's tag."""
    if not row.implemented:
        return [f"{row.tag}: not implemented, yet has code"] if row.code or row.tests else []
    found = []
    if not row.code or not row.tests:
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


def behind(row: Row) -> set[str]:
    """Return the tests behind a row: those it names, and those of their files that have its tag."""
    files = {split_reference(test)[0] for test in row.tests}
    return set(row.tests) | {
        f"{file}::{name}"
        for file in files
        for name, place in _definitions(ROOT / file).items()
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
