"""The audit's check: the tests behind the rows of the ledger, run with pytest.

Importing this module imports no torch; the tests run in a process of their own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from latentgeo.eval.audit.ledger import ROOT, Row
from latentgeo.eval.audit.references import split_reference

PLUGIN = "latentgeo.eval.audit.errors"


@dataclass(frozen=True)
class Outcome:
    """What came of a test, or of all tests behind a row."""

    status: str  # passed, failed or skipped
    error: float | None = None  # largest relative error of its exact comparisons; None: it has none
    deviation: float | None = None  # largest deviation of those by chance, in standard errors
    samples: int | None = None  # draws behind that
    differs: float | None = None  # relative difference of the printed form from ours

    def __str__(self) -> str:
        """As `passed, error 2.2e-16, 1.3 standard errors (n = 4000), print differs by 0.37`."""
        parts = [self.status]
        parts += [] if self.error is None else [f"error {self.error:.1e}"]
        if self.deviation is not None:
            parts.append(f"{self.deviation:.1f} standard errors (n = {self.samples:,})")
        parts += [] if self.differs is None else [f"print differs by {self.differs:.2g}"]
        return ", ".join(parts)


def run_tests(ledger: Iterable[Row], root: Path = ROOT) -> dict[str, Outcome]:
    """Run the tests behind the rows with pytest; return what came of each.

    Raises FileNotFoundError where there are no tests, as in an installed wheel.
    """
    wanted = sorted({test for row in ledger for test in row.tests})
    if not (root / "tests").is_dir():
        raise FileNotFoundError(f"{root / 'tests'}: the check needs a checkout with its tests")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, f"--junitxml={report}"]
        if wanted:
            subprocess.run([*command, *wanted], cwd=root, check=False)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    return {test: _outcome(test, cases) for test in wanted}


def _outcome(test: str, cases: list[ElementTree.Element]) -> Outcome:
    file, name = split_reference(test)
    module = file.removesuffix(".py").replace("/", ".")
    return worst(
        Outcome(
            _status(case),
            _property(case, "error"),
            _property(case, "deviation"),
            int(_property(case, "samples") or 0) or None,
            _property(case, "differs"),
        )
        for case in cases
        if case.get("classname") == module and str(case.get("name")).split("[")[0] == name
    )


def _status(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


def _property(case: ElementTree.Element, name: str) -> float | None:
    found = case.find(f"properties/property[@name='{name}']")
    return None if found is None else float(str(found.get("value")))


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return one outcome for several: failed if any is or there is none, the largest errors."""
    each = list(outcomes)
    status = "skipped" if all(outcome.status == "skipped" for outcome in each) else "passed"
    if not each or any(outcome.status == "failed" for outcome in each):
        status = "failed"
    by_chance = [one for one in each if one.deviation is not None]
    widest = max(by_chance, key=lambda one: one.deviation or 0.0, default=Outcome(status))
    error, differs = _largest(each, "error"), _largest(each, "differs")
    return Outcome(status, error, widest.deviation, widest.samples, differs)


def _largest(outcomes: list[Outcome], name: str) -> float | None:
    found = (getattr(outcome, name) for outcome in outcomes)
    return max((value for value in found if value is not None), default=None)


def of_row(row: Row, outcomes: dict[str, Outcome]) -> Outcome | None:
    """Return the outcome of a row's tests together, or None if they were not run."""
    found = [outcomes[test] for test in row.tests if test in outcomes]
    return worst(found) if found else None


def verdict_line(ledger: Iterable[Row], outcomes: dict[str, Outcome]) -> str:
    """Return how many rows passed, failed or were skipped, in one line; '' if no test was run."""
    found = [of_row(row, outcomes) for row in ledger]
    counts = Counter(outcome.status for outcome in found if outcome is not None)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
