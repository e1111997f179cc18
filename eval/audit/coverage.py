"""What the papers' texts say and who answers for it: `latentgeo audit --coverage`.

A list per text, core/papers/coverage/*.md, has a line for every formula, caption, algorithm, and
sentence with a number or an equation within it, in the order of the text: a row of the ledger, or
*not applicable* and why. The texts, Markdown with LaTeX as extracted from PDFs, are no part of this
repository; where they do not lie beside it, the lists are shown as they are.

Gap   a line of the text that the list has not, a line of the list that the text has not, and a line
      of the list without a row and without a reason
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentgeo.eval.audit.ledger import PAPERS, ROOT, TAG, rows

LISTS = PAPERS / "coverage"
TEXTS = ROOT.parent / "shared" / "papers"
LINE = re.compile(r"^\| `([0-9a-f]{8})` \| (.*) \| (.*) \|$", re.MULTILINE)
NOT = "*not applicable*: "
BLOCK = re.compile(r"\$\$(?P<formula>.*?)\$\$|```\n(?P<algorithm>.*?)```", re.DOTALL)
HEADING = re.compile(r"[#* ]*(?:\d+|[A-Z])(?:\.\d+)*\.? [^.?!]{3,90}\**")
CAPTION = re.compile(r"^\W*(Figure|Table|Algorithm) [\dIVX]+[.:]")
CITED = re.compile(
    r"^[#*\s]*(?i:references)\b.*?(?=^A [A-Z][A-Z ]{5,}$|\Z)", re.MULTILINE | re.DOTALL
)
SHORT = "e.g i.e cf al Fig Figs Eq Eqs Sec Tab vs Inter".split()  # their dot ends no sentence
WITHIN = "".join(rf"(?<!\b{re.escape(word)}\.)" for word in SHORT)
ENDS = re.compile(rf"{WITHIN}(?<=[.!?])\s+(?=[A-Z*$\\(])")
OTHERS = (  # digits that are no number of the text's own
    r"\[[\d, –-]+\]",  # [12, 24]
    r"^\W*\(?\d+\)?\W*(?:Notice)?$",  # the number of an equation
    r"(?:§|\bAppendix) ?[A-Z\d][.\d]*",
    r"\([^()]*\b(?:19|20)\d\d[a-z]?\b[^()]*\)",  # (Ho et al., 2020)
    r"(?:§|\b(?:Fig|Figs|Figure|Eq|Eqs|Sec|Tab|Table|Task|task|Theorem|column|row|Algorithm)\.?)"
    r" ?\(?[\dIVX]+[\d.]*(?: ?[–-] ?[\dIVX]+)?(?: (?:and|&) \d+)?\)?",
    r"[_^] ?\{(?:[^{}]|\{[^{}]*\})*\}",  # x_{t-1}
    r"[_^] ?\\?\w+",  # x_0
)
NUMBER = re.compile(
    r"(?<![\w-])\d|=|\\approx|\\sim|\\propto|\\(?:arg ?)?min|"
    r"\b(?:statistically|greater relative|three|four|five|six|seven|eight|nine|ten|twice|half)\b"
)


@dataclass(frozen=True)
class Item:
    """One thing that a text says and somebody has to answer for."""

    kind: str  # formula, algorithm, caption or sentence
    text: str

    @property
    def key(self) -> str:
        """Eight digits of the hash of its letters and digits."""
        letters = re.sub(r"[\W_]+", "", self.text).lower()
        return hashlib.sha256(f"{self.kind} {letters}".encode()).hexdigest()[:8]

    @property
    def begins(self) -> str:
        """What a reader finds it by: its first words; of a formula, that it is one."""
        if self.kind in ("formula", "algorithm"):
            return self.kind
        words = re.sub(r"\$[^$]*\$|\\\w+|[^\w\s.,:()-]", " ", self.text).split()
        return " ".join(words[: 2 if self.kind == "caption" else 6])[:48].strip(".: ")


@dataclass(frozen=True)
class Line:
    """A line of a list: what is said, and who answers for it."""

    key: str  # of Item
    begins: str
    answer: str  # tags of rows, or NOT and a reason

    @property
    def tags(self) -> list[str]:
        """The rows that answer for it."""
        return [] if self.excused else TAG.findall(self.answer)

    @property
    def excused(self) -> bool:
        """Whether it is said why no row answers for it."""
        return self.answer.startswith(NOT) and len(self.answer) > len(NOT)


@dataclass(frozen=True)
class Covered:
    """A text's list and what is amiss with it."""

    name: str  # of the text, as in smooth-diffusion
    lines: tuple[Line, ...]
    gaps: tuple[str, ...]
    read: bool  # whether the text was there to be read

    @property
    def key(self) -> str:
        """The paper whose rows answer most often."""
        named = Counter(tag.split()[0] for line in self.lines for tag in line.tags)
        return max(named, key=named.__getitem__, default="")

    def __str__(self) -> str:
        """As `smooth-diffusion: 66 = 50 by rows + 16 not applicable; no gap`."""
        by_rows = sum(bool(line.tags) for line in self.lines)
        excused = sum(line.excused for line in self.lines)
        rest = f"{len(self.gaps)} gaps" if self.gaps else "no gap"
        seen = "" if self.read else f" within the list; {TEXTS} has no text to hold it against"
        counts = f"{len(self.lines)} = {by_rows} by rows + {excused} not applicable"
        return f"{self.name}: {counts}; {rest}{seen}"


def coverage(key: str | None = None) -> list[Covered]:
    """Return what is covered of every text, or of the paper of a key, in the order of names."""
    wanted = sorted(LISTS.glob("*.md"))
    found = [covered(path, TEXTS / path.name) for path in wanted]
    return [one for one in found if key in (None, one.key)]


def covered(path: Path, text: Path) -> Covered:
    """Return a list held against its text, if that is there."""
    lines = tuple(Line(*found) for found in LINE.findall(path.read_text(encoding="utf-8")))
    known = {row.tag for row in rows()}
    gaps = [gap for line in lines for gap in _unanswered(line, known)]
    if text.is_file():
        gaps += _apart(list(items(text.read_text(encoding="utf-8"))), lines)
    return Covered(path.stem, lines, tuple(gaps), text.is_file())


def _unanswered(line: Line, known: set[str]) -> Iterator[str]:
    if not line.tags and not line.excused:
        yield f"{line.key} {line.begins}: no row, and no reason why not"
    yield from (f"{line.key} {line.begins}: no row {tag}" for tag in line.tags if tag not in known)


def _apart(said: list[Item], lines: tuple[Line, ...]) -> Iterator[str]:
    """Yield what only the text has, and what only the list has."""
    texts, keys = [item.key for item in said], [line.key for line in lines]
    for step, a, b, c, d in difflib.SequenceMatcher(
        None, texts, keys, autojunk=False
    ).get_opcodes():
        if step != "equal":
            yield from (f"{item.key} {item.begins}: not in the list" for item in said[a:b])
            yield from (f"{line.key} {line.begins}: not in the text" for line in lines[c:d])


def text_list(found: Covered) -> str:
    """Return a list as plain text, its count and gaps below it."""
    lines = [f"{line.begins:<48}  {line.answer.replace('*', '')}" for line in found.lines]
    return "\n".join([*lines, str(found), *(f"gap: {gap}" for gap in found.gaps)])


def items(text: str) -> Iterator[Item]:
    """Yield what a paper's text says, in its order."""
    text = CITED.sub(lambda cited: "\n\n".join(["", *_captions(cited[0]), ""]), text)
    at = 0
    for block in BLOCK.finditer(text):
        yield from _prose(text[at : block.start()])
        kind = str(block.lastgroup)
        yield Item(kind, block[kind])
        at = block.end()
    yield from _prose(text[at:])


def _captions(text: str) -> list[str]:
    """Return the captions in the list of references, where a page breaks it."""
    return [part for part in _paragraphs(text) if CAPTION.match(part)]


def _paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text)


def _prose(text: str) -> Iterator[Item]:
    for paragraph in _paragraphs(text):
        if CAPTION.match(paragraph):
            yield Item("caption", paragraph)
        elif "\t" not in paragraph and not HEADING.fullmatch(paragraph.strip()):
            yield from _sentences(" ".join(paragraph.split()))


def _sentences(paragraph: str) -> Iterator[Item]:
    for sentence in ENDS.split(paragraph):
        bare = sentence
        for other in OTHERS:
            bare = re.sub(other, " ", bare)
        if NUMBER.search(bare):
            yield Item("sentence", sentence)
