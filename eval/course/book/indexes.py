"""What is collected over the chapters: their list, the glossary, the index of symbols. Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from latentgeo.eval.course.text import Chapter, symbols, terms

LIST = re.compile(r"(<!--chapters-->\n).*?(<!--/chapters-->)", re.DOTALL)


def contents(start: str, chapters: Sequence[Chapter]) -> str:
    """Return the text of the first page with the list of chapters between its marks."""
    items = (
        f"{one.number}. [{one.title}]({one.path.name}). {' '.join(one.lead.split())}"
        for one in chapters
    )
    return LIST.sub(lambda marks: marks[1] + "\n".join(items) + "\n" + marks[2], start)


def glossary(chapters: Sequence[Chapter]) -> str:
    """Return the terms of the chapters in the order of the alphabet, each with where it stands."""
    found: dict[str, tuple[str, list[Chapter]]] = {}
    for chapter in chapters:
        for term, meaning in terms(chapter).items():
            found.setdefault(term, (meaning, []))[1].append(chapter)
    lines = (
        f"- **{term}**: {meaning} {_places(places)}"
        for term, (meaning, places) in sorted(found.items(), key=lambda one: one[0].lower())
    )
    return "# Glossary\n\n" + "\n".join(lines) + "\n"


def symbol_index(chapters: Sequence[Chapter]) -> str:
    """Return the symbols of the chapters, by their letters, as a table with where each stands."""
    found: dict[tuple[str, str, str], list[Chapter]] = {}
    for chapter in chapters:
        for row in symbols(chapter):
            found.setdefault(row, []).append(chapter)
    lines = (
        f"| {' | '.join(row)} | {_places(places)} |"
        for row, places in sorted(found.items(), key=lambda one: _letters(one[0][0]))
    )
    head = "| symbol | meaning | shape or range | chapter |\n| :-- | :-- | :-- | :-- |"
    return "# Symbols\n\n" + "\n".join([head, *lines]) + "\n"


def _places(chapters: Sequence[Chapter]) -> str:
    return ", ".join(f"[{one.number}]({one.path.name})" for one in chapters)


def _letters(symbol: str) -> tuple[str, str]:
    r"""Return what a symbol is sorted by: `$\bar\alpha_t$` as alphat."""
    bare = re.sub(
        r"\\(bar|hat|tilde|mathbf|mathcal|mathrm|sqrt|frac|lVert|rVert|left|right)\b", "", symbol
    )
    return re.sub(r"[^a-z]", "", bare.lower()), symbol
