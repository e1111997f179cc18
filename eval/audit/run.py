"""The audit: where each equation of the papers is coded and tested, from the ledger core/papers.

Importing this module imports no torch, and no more does an audit without `--check` or `--mutate`.
"""

from __future__ import annotations

from collections import Counter

from latentgeo.core.run.files import atomic_write
from latentgeo.eval.audit.bibtex import bibtex
from latentgeo.eval.audit.check import Outcome, of_row, run_tests, verdict_line
from latentgeo.eval.audit.coverage import coverage, text_list
from latentgeo.eval.audit.ledger import ROOT, Paper, Row, papers, row_of, rows
from latentgeo.eval.audit.page import html_page
from latentgeo.eval.audit.references import place_of, problems
from latentgeo.eval.audit.settings import Audit


def text_table(ledger: tuple[Row, ...], outcomes: dict[str, Outcome]) -> str:
    """Return the rows as plain text, a blank line between them."""
    return "\n\n".join(text_row(row, outcomes) for row in ledger)


def text_row(row: Row, outcomes: dict[str, Outcome]) -> str:
    """Return a row as plain text: tag and print, then what is here, code, tests and verdict."""
    lines = [("", row.printed), ("here", row.here)]
    lines += [("place", row.place)]
    lines += [("code", place_of(reference)) for reference in row.code]
    for test in row.tests:
        status = outcomes[test].status if test in outcomes else ""
        lines.append(("test", f"{place_of(test)} {status}".rstrip()))
    lines += [("row", str(of_row(row, outcomes) or "")), ("verdict", _verdict(row))]
    first, *rest = (f"{name:<6}{text}" if name else text for name, text in lines if text)
    return "\n".join([f"{row.tag:<16}{first}", *(f"{'':<16}{line}" for line in rest)])


def _verdict(row: Row) -> str:
    return f"{row.verdict}{f': {row.notes}' if row.notes else ''}"


def mutate(ledger: tuple[Row, ...], count: int, seed: int) -> None:
    """Judge `count` mutants drawn by the seed, or all there are; RuntimeError if one survives.

    Raises FileNotFoundError where there are no tests, as in an installed wheel.
    """
    from latentgeo.eval.audit.mutants import mutants, sample
    from latentgeo.eval.audit.mutation import judge

    if not _has_tests():
        raise FileNotFoundError(f"{ROOT / 'tests'}: mutants need a checkout with its tests")
    found = mutants(ledger)
    drawn = sample(found, count, seed)
    verdicts = judge(drawn, lambda verdict: print(verdict, flush=True))
    counts = Counter(verdict.status for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts) / max(len(verdicts), 1)
    words = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    print(f"{len(drawn)} of {len(found)} mutants, seed {seed}: {words}; {seconds:.1f} s each")
    if counts["survived"]:
        raise RuntimeError(f"{counts['survived']} mutants survived: no test noticed the change")


def audit(cmd: Audit) -> None:
    """Print the table, or what is asked for instead.

    RuntimeError if a row is out of step, a test fails, a text has a gap, or a mutant survives.
    """
    ledger = rows(cmd.paper) if cmd.equation is None else (row_of(cmd.equation),)
    if cmd.bibtex:
        print(bibtex(_papers(cmd.paper)))
    elif cmd.coverage:
        _show_coverage(cmd.paper)
    elif cmd.mutate:
        mutate(ledger, cmd.mutate, cmd.seed)
    else:
        _show(cmd, ledger)


def _show(cmd: Audit, ledger: tuple[Row, ...]) -> None:
    wrong = [problem for row in ledger for problem in problems(row)] if _has_tests() else []
    outcomes = run_tests(ledger) if cmd.check else {}
    print(text_table(ledger, outcomes))
    counts = Counter(row.verdict for row in ledger)
    print(f"\n{len(ledger)} rows: {', '.join(f'{n} {name}' for name, n in counts.most_common())}")
    if outcomes:
        print(verdict_line(ledger, outcomes))
    if cmd.html is not None:
        page = html_page(_papers(cmd.paper), outcomes, cmd.html)
        print(f"wrote {atomic_write(cmd.html, page)}")
    wrong += [f"{test} failed" for test, out in outcomes.items() if out.status == "failed"]
    if wrong:
        raise RuntimeError("; ".join(wrong))


def _show_coverage(key: str | None) -> None:
    """Print the lists of the texts; RuntimeError where one has a gap."""
    found = coverage(key)
    print("\n\n".join(map(text_list, found)))
    if gaps := sum(len(one.gaps) for one in found):
        raise RuntimeError(f"{gaps} gaps: a list in core/papers/coverage lacks a row or a reason")


def _papers(key: str | None) -> tuple[Paper, ...]:
    return tuple(paper for paper in papers() if key in (None, paper.key))


def _has_tests() -> bool:
    return (ROOT / "tests").is_dir()
