"""The audit as one HTML page that needs nothing else: equations, their code, tests and errors.

Every formula is typeset (`typeset.py`); sources are those of the checkout at hand. Closed
sources open when the page is printed.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections import Counter
from html import escape

from latentgeo.eval.audit.check import Outcome, of_row, verdict_line
from latentgeo.eval.audit.ledger import VERDICTS, Paper, Row
from latentgeo.eval.audit.references import place_of, source_of
from latentgeo.eval.audit.typeset import formula, prose

SHOWN = 40  # lines of code up to which a source is open
STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 Georgia, serif; color: #1c1c1c; max-width: 62em; margin: 2em auto;
  padding: 0 1em }
h1, h2, h3, nav, .tag, .verdict, summary { font-family: system-ui, sans-serif }
h1 { margin-bottom: .2em } h2 { margin-top: 3em; border-bottom: 2px solid #333 }
article { margin: 2em 0; padding-top: .6em; border-top: 1px solid #ddd }
article header { display: flex; flex-wrap: wrap; gap: .2em 1em; align-items: baseline }
.tag { font-weight: 700; font-size: 1.05em; margin: 0 }
.tag a { color: inherit; text-decoration: none }
.equation { font-size: 1.2em; margin: .6em 0 .4em 1.2em; padding: .3em 0;
  overflow-x: auto; overflow-y: hidden }
.verdict { font-size: .85em; padding: .1em .6em; border-radius: 1em; background: #eee }
.passed { background: #dff2e1 } .failed { background: #f8d3d3 } .skipped { background: #fdf1cf }
.note { color: #444; margin: .3em 0 .6em } .note b { font-weight: 600 }
summary { font-size: .85em; cursor: pointer; color: #234 } details { margin: .25em 0 }
math { font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math",
  "DejaVu Math TeX Gyre", math }
pre { font: 12.5px/1.45 ui-monospace, monospace; background: #f7f7f5; border: 1px solid #e4e4e0;
  padding: .6em .8em; margin: .3em 0 .8em; overflow-x: auto; tab-size: 4 }
.n { color: #aaa; user-select: none } .c { color: #7a7a70 }
.s { color: #4d6b35 } .k { color: #7b3f8c }
table { border-collapse: collapse; font-size: .95em }
td, th { padding: .15em .9em .15em 0; text-align: left }
nav ol { columns: 2; font-size: .92em; padding-left: 1.6em } nav .rows { color: #666 }
.errata li { margin: .3em 0 }
@media print {
  body { font-size: 11px; max-width: none; margin: 0 }
  pre { white-space: pre-wrap; font-size: 8.5px }
  h2, article header, .equation { break-after: avoid } summary { list-style: none }
}
"""
SCRIPT = (
    "addEventListener('beforeprint', () => "
    "document.querySelectorAll('details').forEach((each) => { each.open = true }))"
)


def html_page(papers: tuple[Paper, ...], outcomes: dict[str, Outcome]) -> str:
    """Return the page of some papers; without outcomes it says that no test was run."""
    every = [row for paper in papers for row in paper.rows + paper.errata]
    body = [_head(every, outcomes), _contents(papers)]
    body += [_paper(paper, outcomes) for paper in papers]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>The equations of latentgeo</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def _head(every: list[Row], outcomes: dict[str, Outcome]) -> str:
    ran = verdict_line(every, outcomes)
    counts = Counter(row.verdict for row in every)
    kinds = "".join(
        f"<li><b>{name}</b> ({counts[name]}): {escape(meaning)}</li>"
        for name, meaning in VERDICTS.items()
    )
    return (
        "<h1>The equations of latentgeo</h1>"
        f"<p>{len(every)} equations, algorithms, settings and errata of the papers below. "
        "For each: what the paper prints, what is computed where that differs, the code, and the "
        f"tests that derive it another way. A row has one of these verdicts:</p><ul>{kinds}</ul>"
        f"<p>{f'Tests were run for this page: {ran}.' if ran else 'No test was run for this page.'}"
        " An error is the largest |actual − expected| that the exact comparisons of a row's tests "
        "have seen, relative to the largest expected value; what rests on chance is given in "
        "standard errors, with n.</p>"
    )


def _contents(papers: tuple[Paper, ...]) -> str:
    items = "".join(
        f'<li><a href="#{paper.key}">{escape(paper.title)}</a> <span class="rows">'
        f"{paper.key}, {len(paper.rows)}</span></li>"
        for paper in papers
    )
    return f"<nav><h2>Papers</h2><ol>{items}</ol></nav>"


def _paper(paper: Paper, outcomes: dict[str, Outcome]) -> str:
    by = f"{', '.join(paper.authors)} ({paper.year}). " if paper.authors else ""
    parts = [f'<section><h2 id="{paper.key}">{escape(paper.title)}</h2>']
    parts.append(f"<p>{escape(by)}{prose(paper.about)}</p>")
    if paper.notation:
        lines = (
            f"<tr><td>{prose(theirs)}</td><td>{prose(ours)}</td></tr>"
            for theirs, ours in paper.notation
        )
        parts.append(f"<table><tr><th>paper</th><th>here</th></tr>{''.join(lines)}</table>")
    parts += [_row(row, outcomes) for row in paper.rows]
    if paper.errata:
        parts += ["<h3>Errata</h3>", *(_row(row, outcomes) for row in paper.errata)]
    return "\n".join([*parts, "</section>"])


def _row(row: Row, outcomes: dict[str, Outcome]) -> str:
    anchor = re.sub(r"\W+", "-", row.tag)
    outcome = of_row(row, outcomes)
    verdict = f'<span class="verdict {outcome.status}">{outcome}</span>' if outcome else ""
    parts = [
        f'<article id="{anchor}"><header><p class="tag">'
        f'<a href="#{anchor}">{escape(row.tag)}</a></p>{verdict}</header>',
        f'<div class="equation">{_said(row.printed, row.prose)}</div>',
    ]
    if row.here:
        parts.append(f'<div class="equation">{_said(row.here, prose_only=False)}</div>')
    parts.append(f'<p class="note"><b>{row.verdict}</b> {prose(row.notes)}</p>')
    parts += [_source(reference, "", opened=True) for reference in row.code]
    for test in row.tests:
        parts.append(_source(test, str(outcomes[test]) if test in outcomes else "", opened=False))
    return "\n".join([*parts, "</article>"])


def _said(text: str, prose_only: bool) -> str:
    return f"<p>{prose(text)}</p>" if prose_only else formula(text)


def _source(reference: str, verdict: str, opened: bool) -> str:
    """Return a definition's place and its lines, which may be closed."""
    found = source_of(reference)
    label = f"{'code' if opened else 'test'} <code>{escape(place_of(reference))}</code> {verdict}"
    if found is None:
        return f"<p>{label}</p>"
    first, text = found
    lines = _coloured(text).splitlines()
    width = len(str(first + len(lines)))
    numbered = (
        f'<span class="n">{i:>{width}}</span>  {line}' for i, line in enumerate(lines, first)
    )
    state = " open" if opened and len(lines) <= SHOWN else ""
    return (
        f"<details{state}><summary>{label}</summary><pre>{chr(10).join(numbered)}</pre></details>"
    )


def _coloured(text: str) -> str:
    """Return Python source with its keywords, strings and comments marked, line by line."""
    lines = text.splitlines(keepends=True)
    parts, row, column = [], 1, 0
    indent = len(text) - len(text.lstrip())
    shifted = io.StringIO(
        "".join(line[indent:] if line.strip() else line for line in lines)
    ).readline
    for token in tokenize.generate_tokens(shifted):
        mark = _mark(token)
        if not mark:
            continue
        (start, left), (end, right) = token.start, token.end
        parts.append(escape(_between(lines, row, column, start, left + indent), quote=False))
        piece = escape(_between(lines, start, left + indent, end, right + indent), quote=False)
        parts += [f'<span class="{mark}">{line}</span>\n' for line in piece.split("\n")]
        parts[-1] = parts[-1].removesuffix("\n")
        row, column = end, right + indent
    return "".join(parts) + escape(_between(lines, row, column, len(lines) + 1, 0), quote=False)


def _mark(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.COMMENT:
        return "c"
    if token.type == tokenize.STRING:
        return "s"
    return "k" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else ""


def _between(lines: list[str], row: int, column: int, end: int, right: int) -> str:
    """Return the text from a row (from 1) and column to another."""
    if row == end:
        return lines[row - 1][column:right]
    last = lines[end - 1][:right] if end <= len(lines) else ""
    return (
        lines[row - 1][column:] + "".join(lines[row : end - 1]) + last if row <= len(lines) else ""
    )
