"""The audit: where each equation of the papers is coded and tested, from the ledger core/PAPERS.md.

Importing this module imports no torch, and no more does an audit without `--check` or `--mutate`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.cli import option
from latentgeo.core.files import atomic_write
from latentgeo.core.limits import at_least
from latentgeo.eval.audit_bibtex import bibtex
from latentgeo.eval.audit_check import Outcome, of_row, run_tests, verdict_line
from latentgeo.eval.audit_ledger import ROOT, Paper, Row, papers, place_of, problems, rows
from latentgeo.eval.audit_page import html_page


def text_table(ledger: tuple[Row, ...], outcomes: dict[str, Outcome]) -> str:
    """Return the rows as plain text: tag and statement, then code, tests and notes below."""
    lines = []
    for row in ledger:
        lines.append(f"{row.tag:<16}{row.statement}")
        lines += [f"{'':<16}code  {place_of(reference)}" for reference in row.code]
        for test in row.tests:
            status = outcomes[test].status if test in outcomes else ""
            lines.append(f"{'':<16}test  {place_of(test)} {status}".rstrip())
        if (whole := of_row(row, outcomes)) is not None:
            lines.append(f"{'':<16}row   {whole}")
        lines += [f"{'':<16}note  {row.notes}", ""]
    return "\n".join(lines)


def mutate(ledger: tuple[Row, ...], count: int, seed: int) -> None:
    """Judge `count` mutants drawn by the seed, or all there are; RuntimeError if one survives.

    Raises FileNotFoundError where there are no tests, as in an installed wheel.
    """
    from latentgeo.eval.audit_mutants import mutants, sample
    from latentgeo.eval.audit_mutation import judge

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


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Show where each equation of the papers is coded and tested; can run the tests behind it."""

    paper: str | None = option(None, "key of one paper, as Smooth or DDIM; all of them if unset")
    check: bool = option(False, "run the tests behind the rows: verdict and largest error of each")
    html: Path | None = option(None, "write equations, code, tests and verdicts to this page too")
    bibtex: bool = option(False, "print the papers' BibTeX, and nothing else")
    mutate: int = option(0, "change that many places of the code, one at a time: do tests notice?")
    seed: int = option(0, "seed of the draw of those places")

    def __post_init__(self) -> None:
        """Refuse fewer mutants than none."""
        at_least(self, 0, "mutate")

    def run(self) -> int:
        """Print the table and return 0; RuntimeError if a row is out of step or a test fails."""
        ledger = rows(self.paper)
        if self.bibtex:
            print(bibtex(_papers(self.paper)))
            return 0
        if self.mutate:
            mutate(ledger, self.mutate, self.seed)
            return 0
        return self._show(ledger)

    def _show(self, ledger: tuple[Row, ...]) -> int:
        wrong = [problem for row in ledger for problem in problems(row)] if _has_tests() else []
        outcomes = run_tests(ledger) if self.check else {}
        print(text_table(ledger, outcomes))
        print(f"{len(ledger)} rows, {sum(row.implemented for row in ledger)} implemented")
        if outcomes:
            print(verdict_line(ledger, outcomes))
        if self.html is not None:
            page = html_page(_papers(self.paper), outcomes)
            print(f"wrote {atomic_write(self.html, page)}")
        wrong += [f"{test} failed" for test, out in outcomes.items() if out.status == "failed"]
        if wrong:
            raise RuntimeError("; ".join(wrong))
        return 0


def _papers(key: str | None) -> tuple[Paper, ...]:
    return tuple(paper for paper in papers() if key in (None, paper.key))


def _has_tests() -> bool:
    return (ROOT / "tests").is_dir()
