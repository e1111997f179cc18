"""The settings of `audit`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Show where each equation of the papers is coded and tested; can run the tests behind it."""

    paper: str | None = option(None, "key of one paper, as Smooth or DDIM; all of them if unset")
    equation: str | None = option(None, "one row, whole, by its tag, as 'Iso Eq. 6'")
    check: bool = option(False, "run the tests behind the rows: verdict and largest error of each")
    html: Path | None = output(
        "write equations, code, tests and verdicts to this page too", "", default=None
    )
    bibtex: bool = option(False, "print the papers' BibTeX, and nothing else")
    mutate: int = option(0, "change that many places of the code, one at a time: do tests notice?")
    seed: int = option(0, "seed of the draw of those places")

    def __post_init__(self) -> None:
        """Refuse fewer mutants than none."""
        at_least(self, 0, "mutate")
