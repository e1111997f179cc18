"""The audit as one HTML page that needs nothing else: equations, their code, tests and errors.

Every formula is typeset, in a font inside the page; sources are those of the checkout at hand. With
`?lecture` behind its address there is one equation on the screen, and arrow keys go on.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path

from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.article import UNTAUGHT, Lessons, article, chip
from latentgeo.eval.audit.check import Outcome, verdict_line
from latentgeo.eval.audit.ledger import CERTAINTIES, ROOT, VERDICTS, Paper, Row
from latentgeo.eval.audit.typeset import prose
from latentgeo.eval.page.theme import document

HERE = Path(__file__).parent


def html_page(
    papers: tuple[Paper, ...],
    outcomes: dict[str, Outcome],
    path: Path | None,
    lessons: Lessons = UNTAUGHT,
) -> str:
    """Return the page of some papers; without outcomes no test was run.

    Sources are linked from `path`, where the page will be; None: it may be anywhere, without links.
    `lessons` are by tag where a row is taught.
    """
    every = [row for paper in papers for row in paper.rows + paper.errata]
    root = Path(os.path.relpath(ROOT, path.resolve().parent)).as_posix() if path else None
    body = [_head(every, outcomes), _contents(papers), _form(every)]
    body += [_paper(paper, outcomes, root, lessons) for paper in papers]
    return document(
        "The equations of latentgeo",
        read_text(HERE / "style.css"),
        "<main>\n" + "\n".join(body) + "\n</main>",
        read_text(HERE / "script.js"),
    )


def _head(every: list[Row], outcomes: dict[str, Outcome]) -> str:
    ran = verdict_line(every, outcomes)
    counts = Counter(row.verdict for row in every)
    kinds = "".join(
        f"<li>{chip(name)} {counts[name]}: {escape(meaning)}</li>"
        for name, meaning in (VERDICTS | CERTAINTIES).items()
        if counts[name]
    )
    return (
        "<h1>The equations of latentgeo</h1>"
        f'<div class="about"><p>{len(every)} equations, algorithms, settings and errata of the '
        "papers below. Each has what the paper prints, what is computed where that differs (the "
        "difference is coloured), the code, and the tests that derive it another way.</p>"
        f"<ul>{kinds}</ul>"
        f"<p>{f'Tests were run for this page: {ran}.' if ran else 'No test was run for this page.'}"
        " An error is the largest |actual − expected| of a row's exact comparisons, relative to "
        "the largest expected value. What rests on chance is given in standard errors, with n. "
        'For a lecture: <a href="?lecture">one equation on the screen</a>, with the arrow keys.'
        "</p></div>"
    )


def _contents(papers: tuple[Paper, ...]) -> str:
    items = "".join(
        f'<li><a href="#{paper.key}">{escape(paper.title)}</a> {_counts(paper)}</li>'
        for paper in papers
    )
    return f"<nav><h2>Papers</h2><ol>{items}</ol></nav>"


def _counts(paper: Paper) -> str:
    counts = Counter(row.verdict for row in paper.rows + paper.errata)
    return " ".join(chip(name, f"{count} {name}") for name, count in counts.most_common())


def _form(every: Iterable[Row]) -> str:
    counts = Counter(row.verdict for row in every)
    boxes = "".join(
        f'<label><input type="checkbox" value="{name}" checked> {name}</label>'
        for name in (VERDICTS | CERTAINTIES)
        if counts[name]
    )
    label = 'type="search" placeholder="search" aria-label="search"'
    return f'<form onsubmit="return false"><input {label}>{boxes}<output></output></form>'


def _paper(paper: Paper, outcomes: dict[str, Outcome], root: str | None, lessons: Lessons) -> str:
    by = f"{', '.join(paper.authors)} ({paper.year}). " if paper.authors else ""
    parts = [f'<section><h2 id="{paper.key}">{escape(paper.title)}</h2>']
    parts.append(f'<p class="about">{escape(by)}{prose(paper.about)}</p>')
    if paper.notation:
        lines = (
            f"<tr><td>{prose(theirs)}</td><td>{prose(ours)}</td></tr>"
            for theirs, ours in paper.notation
        )
        parts.append(f"<table><tr><th>paper</th><th>here</th></tr>{''.join(lines)}</table>")
    parts += [article(row, outcomes, root, lessons) for row in paper.rows]
    if paper.errata:
        errata = (article(row, outcomes, root, lessons) for row in paper.errata)
        parts += ["<h3>Errata</h3>", *errata]
    return "\n".join([*parts, "</section>"])
