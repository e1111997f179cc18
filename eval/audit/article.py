"""A row of the ledger as a part of the page: print above code, and what tests found."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType

from latentgeo.eval.audit.check import Outcome, of_row
from latentgeo.eval.audit.ledger import Row
from latentgeo.eval.audit.references import place_of, source_of, split_reference
from latentgeo.eval.audit.source import essence, names_in, numbered
from latentgeo.eval.audit.symbols import LEAF, colours
from latentgeo.eval.audit.typeset import formula, prose

Lessons = Mapping[str, Sequence[tuple[str, str]]]  # by tag: addresses and titles
UNTAUGHT: Lessons = MappingProxyType({})
ROUGH = 1e-3  # relative error of exact comparisons from which a row is no more green


def article(
    row: Row, outcomes: dict[str, Outcome], root: str | None, lessons: Lessons = UNTAUGHT
) -> str:
    """Return a row's part of the page, with links to `lessons` on it.

    `root` is the way from the page to the checkout; None: sources are shown and not linked.
    """
    anchor = anchor_of(row.tag)
    sources = [found[1] for reference in row.code if (found := source_of(reference))]
    names = set().union(*(names_in(source) for source in sources))
    text = f"{row.tag} {row.printed} {row.here} {row.notes} {' '.join(row.code)}".lower()
    formulas, colour = _formulas(row, names)
    parts = [
        f'<article id="{anchor}" data-verdict="{row.verdict}" data-text="{escape(text)}"><header>'
        f'<p class="tag"><a href="#{anchor}">{escape(row.tag)}</a></p>'
        f'<span class="place">{escape(row.place)}</span>{chip(row.verdict)}'
        f"{_outcome(of_row(row, outcomes))}</header>",
        formulas,
    ]
    parts += [f'<p class="note">{prose(row.notes)}</p>'] if row.notes else []
    taught = ", ".join(
        f'<a href="{to}">{escape(title)}</a>' for to, title in lessons.get(row.tag, ())
    )
    parts += [f'<p class="where">taught in {taught}</p>'] if taught else []
    parts += [_code(reference, colour, root) for reference in row.code]
    tests = "".join(_test(test, outcomes, root) for test in row.tests)
    parts += [f'<div class="tests">{tests}</div>'] if tests else []
    return "\n".join([*parts, "</article>"])


def anchor_of(tag: str) -> str:
    """Return the name of a row on the page, as Smooth-Eq-9."""
    return re.sub(r"\W+", "-", tag)


def chip(verdict: str, text: str = "") -> str:
    """Return a verdict as a coloured label."""
    return f'<span class="chip {verdict.replace(" ", "-")}">{escape(text or verdict)}</span>'


def _outcome(outcome: Outcome | None) -> str:
    """Return what came of a row's tests, in the colour of its exact comparisons."""
    if outcome is None:
        return ""
    rough = outcome.status == "passed" and (outcome.error or 0) > ROUGH
    return chip("rough" if rough else outcome.status, str(outcome))


def _formulas(row: Row, names: set[str]) -> tuple[str, dict[str, int]]:
    """Return what is printed and what is computed, and the colours of symbols that code names."""
    if row.prose:
        return f'<div class="equation"><p>{prose(row.printed)}</p></div>', {}
    both = [formula(row.printed), *([formula(row.here)] if row.here else [])]
    found = colours("".join(html.unescape(leaf[3]) for leaf in LEAF.finditer(both[0])), names)
    changed = _changed(*both) if row.here else [set()]
    shown = [_marked(one, at, found) for one, at in zip(both, changed, strict=True)]
    labels = ("printed", "here") if row.here else ("",)
    parts = (
        f'<div class="equation">{f"""<span class="label">{label}</span>""" if label else ""}'
        f"{markup}</div>"
        for label, markup in zip(labels, shown, strict=True)
    )
    return "\n".join(parts), found


def _changed(printed: str, here: str) -> list[set[int]]:
    """Return which leaves of each formula the other does not have in their place."""
    a, b = ([leaf[3] for leaf in LEAF.finditer(markup)] for markup in (printed, here))
    steps = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    moves = [step for step in steps if step[0] != "equal"]
    return [
        {i for _, start, end, *_ in moves for i in range(start, end)},
        {i for *_, start, end in moves for i in range(start, end)},
    ]


def _marked(markup: str, changed: set[int], found: dict[str, int]) -> str:
    """Return a formula whose leaves have the classes of their difference and of their symbol."""
    count = -1

    def leaf(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        colour = found.get(html.unescape(match[3]), 0)
        kinds = [*(["diff"] if count in changed else []), *([f"y{colour}"] if colour else [])]
        label = f' class="{" ".join(kinds)}"' if kinds else ""
        return f"<{match[1]}{match[2]}{label}>{match[3]}</{match[1]}>"

    return LEAF.sub(leaf, markup)


def _code(reference: str, found: dict[str, int], root: str | None) -> str:
    """Return a definition's place and its first lines; all of it behind a click."""
    source = source_of(reference)
    if source is None:
        return f'<p class="where">code {_link(reference, root)}</p>'
    first, text = source
    few = essence(text)
    parts = [f'<p class="where">code {_link(reference, root)}</p>']
    parts += [f"<pre>{numbered(text, first, few, found)}</pre>"] if few else []
    whole = numbered(text, first, None, found)
    return "".join([*parts, f"<details><summary>all of it</summary><pre>{whole}</pre></details>"])


def _test(test: str, outcomes: dict[str, Outcome], root: str | None) -> str:
    """Return a test's place, its outcome, and its lines behind a click."""
    verdict = _outcome(outcomes[test]) if test in outcomes else ""
    label = f"test {_link(test, root)} {verdict}"
    source = source_of(test)
    if source is None:
        return f'<p class="where">{label}</p>'
    first, text = source
    return (
        f"<details><summary>{label}</summary><pre>{numbered(text, first, None, {})}</pre></details>"
    )


def _link(reference: str, root: str | None) -> str:
    file, _ = split_reference(reference)
    place = escape(place_of(reference))
    linked = root is not None and source_of(reference)
    return f'<a href="{root}/{file}">{place}</a>' if linked else place
