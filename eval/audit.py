"""The audit: where each equation of the papers is coded and tested, from the ledger core/PAPERS.md.

The ledger names functions, never line numbers; lines are looked up in the syntax tree, so they are
those of the code at hand. Importing this module, and an audit without `--check`, imports no torch.

Ledger    `## Key: title` opens a paper, then a table `Equation | Statement | Code | Test | Notes`;
          Code holds `file.py:name` or `file.py:Class.name`, Test `file.py::name`, each in backticks
Tag       `<Key> Eq. <n>`, also Alg., Thm., Sec. and Tab., written the same in docstrings
"""

from __future__ import annotations

import ast
import html
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from latentgeo.core.cli import option
from latentgeo.core.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
LEDGER = ROOT / "core" / "PAPERS.md"
KEYS = (
    "Smooth SmoothS Asyrp Iso OT DDPM IDDPM ADM DDIM LDM LoRA CFG NTI CLIP CLIPScore LPIPS "
    "FID Drag GLU SDEdit P2P PnP ANID Adam SSIM"
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
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 5 or not TAG.fullmatch(cells[0]):
            raise ValueError(f"PAPERS.md line {number}: wanted tag and four cells, got {line!r}")
        tag, statement, code, tests, notes = (cell.replace("\\|", "|") for cell in cells)
        found.append(Row(tag, statement, _quoted(code), _quoted(tests), notes))
    return tuple(found)


def _quoted(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


def locate(reference: str) -> tuple[str, int, str]:
    """Return (file, line, docstring) of `file.py:name`, `file.py:Class.name` or `file.py::name`.

    Raises LookupError if the file or the name is not there.
    """
    file, name = re.split(r"::?", reference, maxsplit=1)
    known = _definitions(ROOT / file)
    if name not in known:
        raise LookupError(f"{reference}: {file} has no {name}")
    return file, *known[name]


@cache
def _definitions(path: Path) -> dict[str, tuple[int, str]]:
    """Return line and docstring of every function, class and method of a file, by dotted name."""
    if not path.is_file():
        raise LookupError(f"{path.relative_to(ROOT)}: no such file")
    return dict(_named(ast.parse(path.read_text(encoding="utf-8")), ""))


def _named(node: ast.AST, prefix: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, NAMED):
            name = prefix + child.name
            yield name, (child.lineno, ast.get_docstring(child) or "")
            yield from _named(child, name + ".")


def tags_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (tag, where) for every tag in the docstrings of a file, of the module's own too."""
    module = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    texts = {"<module>": (1, module)} | _definitions(path)
    for name, (line, text) in texts.items():
        for tag in TAG.findall(" ".join(text.split())):
            yield tag, f"{path.relative_to(ROOT)}:{line} {name}"


def problems(row: Row) -> list[str]:
    """Return what is out of step: a reference that does not exist, or lacks the row's tag."""
    if not row.implemented:
        return [f"{row.tag}: not implemented, yet has code"] if row.code or row.tests else []
    found = []
    if not row.code or not row.tests:
        found.append(f"{row.tag}: names no code or no test")
    for reference in row.code + row.tests:
        try:
            _, _, docstring = locate(reference)
        except LookupError as error:
            found.append(f"{row.tag}: {error}")
            continue
        if row.tag not in TAG.findall(" ".join(docstring.split())):
            found.append(f"{row.tag}: the docstring of {reference} does not have the tag")
    return found


def place(reference: str) -> str:
    """Return `file:line name` of a reference, or say that it is not there."""
    name = re.split(r"::?", reference, maxsplit=1)[1]
    try:
        file, line, _ = locate(reference)
    except LookupError:
        absent = reference.startswith("tests/") and not (ROOT / "tests").is_dir()
        return f"{reference} ({'in the repository, not installed' if absent else 'not found'})"
    return f"{file}:{line} {name}"


def run_tests(ledger: tuple[Row, ...]) -> dict[str, str]:
    """Run the tests behind the rows with pytest; return `passed`, `failed` or `skipped` by test.

    Raises FileNotFoundError where there are no tests, as in an installed wheel.
    """
    wanted = sorted({test for row in ledger for test in row.tests})
    if not (ROOT / "tests").is_dir():
        raise FileNotFoundError(f"{ROOT / 'tests'}: the check needs a checkout with its tests")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *wanted]
        if wanted:
            subprocess.run(command, cwd=ROOT, check=False)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    return {test: _outcome(test, cases) for test in wanted}


def _outcome(test: str, cases: list[ElementTree.Element]) -> str:
    file, name = test.split("::")
    module = file.removesuffix(".py").replace("/", ".")
    mine = [
        {child.tag for child in case}
        for case in cases
        if case.get("classname") == module and str(case.get("name")).split("[")[0] == name
    ]
    if not mine or any(tags & {"failure", "error"} for tags in mine):
        return "failed"
    return "skipped" if all("skipped" in tags for tags in mine) else "passed"


def text_table(ledger: tuple[Row, ...], outcomes: dict[str, str]) -> str:
    """Return the rows as plain text: tag and statement, then code, tests and notes below."""
    lines = []
    for row in ledger:
        lines.append(f"{row.tag:<16}{row.statement}")
        lines += [f"{'':<16}code  {place(reference)}" for reference in row.code]
        for test in row.tests:
            lines.append(f"{'':<16}test  {place(test)} {outcomes.get(test, '')}".rstrip())
        lines += [f"{'':<16}note  {row.notes}", ""]
    return "\n".join(lines)


def html_page(ledger: tuple[Row, ...], outcomes: dict[str, str]) -> str:
    """Return the rows as one HTML page that needs nothing else."""
    body = []
    for row in ledger:
        code = [f"<code>{html.escape(place(reference))}</code>" for reference in row.code]
        tests = [
            f"<code>{html.escape(place(test))}</code> <b>{outcomes.get(test, '')}</b>"
            for test in row.tests
        ]
        cells = [html.escape(row.tag), html.escape(row.statement)]
        cells += ["<br>".join(code), "<br>".join(tests), html.escape(row.notes)]
        body.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(
        f"<th>{name}</th>" for name in ("Equation", "Statement", "Code", "Test", "Notes")
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Equation ledger</title>'
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:.4em;text-align:left;vertical-align:top}"
        "th{background:#eee;position:sticky;top:0}</style>"
        f"<h1>Equation ledger</h1><table><tr>{head}</tr>\n"
        + "\n".join(body)
        + "\n</table></html>\n"
    )


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Show where each equation of the papers is coded and tested; can run the tests behind it."""

    paper: str | None = option(None, "key of one paper, as Smooth or DDIM; all of them if unset")
    check: bool = option(False, "run the tests behind the rows with pytest")
    html: Path | None = option(None, "write the table to this HTML file too")

    def run(self) -> int:
        """Print the table and return 0; RuntimeError if a row is out of step or a test fails."""
        ledger = rows(self.paper)
        wrong = [problem for row in ledger for problem in problems(row)] if _has_tests() else []
        outcomes = run_tests(ledger) if self.check else {}
        print(text_table(ledger, outcomes))
        print(f"{len(ledger)} rows, {sum(row.implemented for row in ledger)} implemented")
        if self.html is not None:
            atomic_write(self.html, html_page(ledger, outcomes))
        wrong += [f"{test} failed" for test, outcome in outcomes.items() if outcome == "failed"]
        if wrong:
            raise RuntimeError("; ".join(wrong))
        return 0


def _has_tests() -> bool:
    return (ROOT / "tests").is_dir()
