"""The equation ledger core/papers/*.md as data: papers, rows and errata. It imports no torch.

Paper     `# Key: title`, `By …, year.`, its arXiv id, and under `## Notation` a table of symbols
Row       `### tag`; its place in the text in italics; what is printed, in LaTeX (a fence `math`) or
          quoted prose; `Here:` and what is computed, where that differs; then lines `Verdict:`,
          `Code:` and `Tests:`, of `file.py:name` or `file.py::name` in backticks
Erratum   a row under `## Errata`, whose verdict is how certain it is
Tag       `<Key> Eq. <n>`, also Alg., Thm., Sec., Tab., Fig. and Err., the same in docstrings;
          a letter tells rows of one section apart, as in `Iso Sec. 4.1b`
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ROOT / "core" / "papers"
KEYS = (
    "Smooth SmoothS Asyrp Iso OT DDPM IDDPM ADM DDIM LDM LoRA CFG NTI CLIP CLIPScore LPIPS "
    "FID KID Drag GLU SDEdit Cycle P2P PnP PixZero Disentangle ANID Adam SSIM"
).split()
TAG = re.compile(
    rf"\b(?:{'|'.join(KEYS)}) (?:Eq|Alg|Thm|Sec|Tab|Fig|Err)\. "
    r"(?:(?:[A-Z]\.)?\d+(?:\.\d+)*[a-z]?|[A-Z](?!\.\d)[a-z]?)\b"
)
VERDICTS = {  # what a row says of print and code
    "verbatim": "the value of the printed formula, up to names",
    "equal": "rearranged: the same value",
    "scaled": "the printed value times a constant that is said",
    "corrected": "print is wrong; both are evaluated, and differ",
    "as released": "the authors' code does so, and print does not",
    "chosen": "print leaves it open; what is taken is said",
    "optimised": "the same quantity by less work",
    "not here": "left out, and why",
}
CERTAINTIES = {  # what an erratum says of itself
    "proved": "shown by a number",
    "inferred": "the likeliest reading",
    "damaged": "the text at hand may have lost a character",
}
ROW = re.compile(r"^### (.+)$", re.MULTILINE)
FIELD = re.compile(r"^(Verdict|Code|Tests): (.*(?:\n.+)*)", re.MULTILINE)
FENCE = re.compile(r"```math\n(.*?)\n```", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One equation or erratum: what print says, what is computed, who codes it and who tests it."""

    tag: str  # Smooth Eq. 9
    place: str  # where it stands in the text
    printed: str  # as printed: LaTeX, or prose
    here: str  # as computed, where that differs; else nothing
    verdict: str  # one of VERDICTS, or of CERTAINTIES
    notes: str
    code: tuple[str, ...]  # core/smooth.py:regularizer
    tests: tuple[str, ...]  # tests/core/test_smooth.py::test_x
    prose: bool = False  # whether what is printed is prose

    @property
    def key(self) -> str:
        """The paper's key, as in `Smooth`."""
        return self.tag.split()[0]

    @property
    def implemented(self) -> bool:
        """Whether there is code or a test to point at."""
        return self.verdict != "not here"

    @property
    def erratum(self) -> bool:
        """Whether it says what print has wrong."""
        return " Err. " in self.tag


@dataclass(frozen=True)
class Paper:
    """One file of the ledger."""

    key: str  # Smooth
    title: str
    authors: tuple[str, ...]  # given name first
    year: str
    about: str  # the prose below the title: arXiv id, version, venue
    notation: tuple[tuple[str, str], ...]  # the paper's symbol, ours
    rows: tuple[Row, ...]
    errata: tuple[Row, ...]

    @property
    def arxiv(self) -> str:
        """The arXiv id without its version, or nothing where there is none."""
        found = re.match(r"(?:[^.]* )?arXiv (\d{4}\.\d{4,5})", self.about)
        return found[1] if found else ""


@cache
def papers(folder: Path = PAPERS) -> tuple[Paper, ...]:
    """Return the ledger's papers, in the order of `KEYS`."""
    read = (
        parse_paper(path.read_text(encoding="utf-8"), path.name) for path in folder.glob("*.md")
    )
    return tuple(sorted(read, key=lambda paper: KEYS.index(paper.key)))


def parse_paper(text: str, file: str) -> Paper:
    """Return the paper that a file describes; ValueError names the file and what it lacks."""
    title = re.match(r"# (\w+): (.+)\n", text)
    if not title or title[1] not in KEYS:
        raise ValueError(f"{file}: got {text[:40]!r}, wanted `# Key: title` with a known key")
    head, _, body = text[title.end() :].partition("\n## ")
    prose = [" ".join(part.split()) for part in head.split("\n\n") if part.strip()]
    by = re.fullmatch(r"By (.+), (\d{4})\.", prose[0]) if prose else None
    notation = re.findall(r"^\| (.+?) \| (.+) \|$", body.partition("\n## ")[0], re.MULTILINE)
    found = tuple(_rows(text, file))
    return Paper(
        title[1],
        title[2],
        tuple(re.split(r", (?:and )?| and ", by[1])) if by else (),
        by[2] if by else "",
        " ".join(prose[1:] if by else prose),
        tuple(pair for pair in notation if pair[0] not in ("paper", ":--")),
        tuple(row for row in found if not row.erratum),
        tuple(row for row in found if row.erratum),
    )


def _rows(text: str, file: str) -> Iterator[Row]:
    parts = ROW.split(re.sub(r"^## .*$", "", text, flags=re.MULTILINE))[1:]
    for tag, body in zip(parts[::2], parts[1::2], strict=True):
        yield parse_row(tag.strip(), body, file)


def parse_row(tag: str, body: str, file: str) -> Row:
    """Return the row of a section; ValueError names file and tag, and what is wrong with it."""
    fields = {name: " ".join(text.split()) for name, text in FIELD.findall(body)}
    verdict = re.match(r"\*\*(.+?)\*\*[.:,;]? ?(.*)", fields.get("Verdict", ""))
    allowed = CERTAINTIES if " Err. " in tag else VERDICTS
    if not TAG.fullmatch(tag):
        raise ValueError(f"{file}: got the heading {tag!r}, wanted a tag such as DDIM Eq. 12")
    if not verdict or verdict[1] not in allowed:
        got = fields.get("Verdict", "none")
        raise ValueError(f"{file}, {tag}: got verdict {got!r}, wanted **{'**, **'.join(allowed)}**")
    place = re.search(r"^\*(.+)\*$", body, re.MULTILINE)
    printed, _, here = FIELD.sub("", body).partition("\nHere:\n")
    prose = not FENCE.search(printed)
    code, tests = (tuple(re.findall(r"`([^`]+)`", fields.get(f, ""))) for f in ("Code", "Tests"))
    return Row(
        tag,
        place[1] if place else "",
        _said(printed),
        _said(here),
        verdict[1],
        verdict[2],
        code,
        tests,
        prose,
    )


def _said(text: str) -> str:
    """Return the LaTeX of the fences in a text, or the prose that it quotes."""
    if fences := FENCE.findall(text):
        return " \\\\ ".join(fences)
    return " ".join(line[1:].strip() for line in text.splitlines() if line.startswith(">"))


def rows(paper: str | None = None) -> tuple[Row, ...]:
    """Return the rows and errata of all papers, or of one; ValueError names an unknown key."""
    known = [each.key for each in papers()]
    if paper is not None and paper not in known:
        raise ValueError(f"paper must be one of {', '.join(sorted(known))}, got {paper!r}")
    wanted = (each for each in papers() if paper in (None, each.key))
    return tuple(row for each in wanted for row in each.rows + each.errata)


def row_of(tag: str) -> Row:
    """Return the row of a tag; ValueError names the tags that are nearest."""
    found = {row.tag: row for row in rows()}
    if tag not in found:
        near = difflib.get_close_matches(tag, found, 3) or list(found)[:3]
        raise ValueError(f"equation: got {tag!r}, wanted a tag such as {', '.join(near)}")
    return found[tag]
