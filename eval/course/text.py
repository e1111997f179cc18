"""The chapters as data: text, numbers, references, exercises, symbols, terms. It imports no torch.

A chapter is `chapters/NN-name.md`, GitHub's Markdown, and `chapters/NN-name.toml`, its exercises.

Number      `<!--=key-->0.385<!--/-->`: what the script computed (eval/page/numbers.py);
            `<!--print-->0.1756<!--/-->`: what a paper prints. No other decimal stands in prose
Code        a paragraph `Code: [core/ddim.py, step](../../../core/ddim.py)`, more after commas
Equation    a link to a row of the ledger, whose text is the tag
Exercise    `### Exercise key: title`, and in the TOML `[[exercise]]` with key, functions and hint
Symbols     a table of symbol, meaning, and shape or range
Terms       a list, `- **term**: one sentence.`
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.text import read_text

CHAPTERS = Path(__file__).parent / "chapters"
FILE = re.compile(r"(\d\d)-([a-z0-9-]+)\.md")
MARKED = re.compile(r"<!--(?:=[\w.-]+|print)-->.*?<!--/-->")
REFERENCE = re.compile(r"\[([\w/]+\.py), ([\w.]+)\]\([^)]+\)")
ROW = re.compile(r"\[(?P<tag>[^\]]+)\]\((?:\.\./)+core/papers/(?P<file>[\w-]+)\.md#(?P<at>[^)]+)\)")
EXERCISE = re.compile(r"^### Exercise ([a-z0-9-]+): (.+)$", re.MULTILINE)
NOT_PROSE = re.compile(r"^```.*?^```|\$[^$]+\$|`[^`]+`|\[[^\]]*\]\([^)]*\)", re.M | re.S)


@dataclass(frozen=True)
class Exercise:
    """Functions that a reader writes, and what the text and a hint say of them."""

    key: str  # ddim-step
    title: str
    text: str  # Markdown
    functions: tuple[str, ...]  # core/ddim.py:step
    hint: str
    triton: bool = False


@dataclass(frozen=True)
class Chapter:
    """One text of the course."""

    number: int
    name: str  # going-back
    text: str  # Markdown
    path: Path

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.text.partition("\n")[0].removeprefix("# ").strip()

    @property
    def lead(self) -> str:
        """What stands between the title and the first section, Markdown."""
        return self.text.partition("\n")[2].partition("\n## ")[0].strip()

    @property
    def script(self) -> str:
        """The name of its script, a module of `eval/course/scripts`."""
        return self.name.replace("-", "_")

    @property
    def figures(self) -> Path:
        """The folder of what the script computed."""
        return self.path.parent / "figures" / self.name

    @property
    def code(self) -> tuple[str, ...]:
        """The definitions that the text quotes, as `core/ddim.py:step`."""
        quotes = re.findall(r"^Code: .*$", self.text, re.MULTILINE)
        found = [one for quote in quotes for one in REFERENCE.findall(quote)]
        return tuple(f"{file}:{name}" for file, name in found)

    @property
    def tags(self) -> tuple[str, ...]:
        """The rows of the ledger that the text links to, each once."""
        return tuple(dict.fromkeys(found["tag"] for found in ROW.finditer(self.text)))

    def section(self, title: str) -> str:
        """Return what stands under a heading `## title`, or nothing where there is none."""
        found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", self.text, re.M | re.S)
        return found[1].strip() if found else ""


def chapters(folder: Path = CHAPTERS) -> tuple[Chapter, ...]:
    """Return the chapters of a folder, in their order."""
    named = [(path, found) for path in folder.glob("*.md") if (found := FILE.fullmatch(path.name))]
    return tuple(
        Chapter(int(found[1]), found[2], read_text(path), path) for path, found in sorted(named)
    )


def chapter_of(wanted: str | int, folder: Path = CHAPTERS) -> Chapter:
    """Return a chapter by its name or its number; ValueError names those there are."""
    known = chapters(folder)
    for chapter in known:
        if str(wanted) in (chapter.name, str(chapter.number)):
            return chapter
    near = difflib.get_close_matches(str(wanted), [one.name for one in known], 1)
    names = ", ".join(f"{one.number} {one.name}" for one in known)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"chapter: got {wanted}, wanted one of {names}{hint}")


def exercises(chapter: Chapter) -> tuple[Exercise, ...]:
    """Return a chapter's exercises, in the order of its text.

    Raises ValueError where text and TOML do not have the same ones.
    """
    path = chapter.path.with_suffix(".toml")
    listed = tomllib.loads(read_text(path))["exercise"] if path.is_file() else []
    rows = {row["key"]: row for row in listed}
    parts = EXERCISE.split(chapter.section("Exercises"))[1:]
    keys = parts[::3]
    if set(keys) != set(rows) or len(keys) != len(listed):
        raise ValueError(
            f"{path.name}: got exercises {sorted(rows)}, wanted those of the text, {sorted(keys)}"
        )
    return tuple(
        Exercise(
            key,
            title,
            text.strip(),
            tuple(rows[key]["functions"]),
            rows[key]["hint"],
            rows[key].get("triton", False),
        )
        for key, title, text in zip(keys, parts[1::3], parts[2::3], strict=True)
    )


def symbols(chapter: Chapter) -> tuple[tuple[str, str, str], ...]:
    """Return the symbols of a chapter: symbol, meaning, shape or range."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.*?) ?\|$", chapter.section("Symbols"), re.MULTILINE)
    return tuple(row for row in rows[1:] if not set(row[0]) <= set(":- "))


def terms(chapter: Chapter) -> dict[str, str]:
    """Return what a chapter's terms mean."""
    items = re.split(r"^- ", chapter.section("Terms"), flags=re.MULTILINE)[1:]
    found = (re.fullmatch(r"\*\*(.+?)\*\*: (.+)", " ".join(item.split())) for item in items)
    return {one[1]: one[2] for one in found if one}


def unmarked(text: str) -> list[str]:
    """Return the decimal numbers in prose which are neither computed nor said to be print's."""
    return re.findall(r"(?<![\w.])\d[\d,]*\.\d+\b", NOT_PROSE.sub(" ", MARKED.sub(" ", text)))


def plain(text: str) -> str:
    """Return a text without its marks."""
    return re.sub(r"<!--.*?-->", "", text)
