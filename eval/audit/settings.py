"""The settings of `audit`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Show where each equation of the papers is coded and tested; can run the tests behind it."""

    paper: str | None = option(
        None, "one paper by its key, such as Smooth or DDIM; unset: all of them"
    )
    equation: str | None = option(None, "one row, whole, by its tag, as 'Iso Eq. 6'")
    check: bool = option(
        False, "run the tests behind the equations; print each verdict and largest error"
    )
    html: Path | None = output(
        "page to write, too: equations, code, tests and verdicts", "", default=None
    )
    coverage: bool = option(
        False,
        "print what the papers' texts say, in their order, each with its row or why it has none, "
        "and nothing else; a gap is a failure",
    )
    bibtex: bool = option(False, "print the papers' BibTeX, and nothing else")
    mutate: int = option(
        0, "change so many places of the code, one at a time, and see if a test fails each time"
    )
    seed: int = option(0, "seed by which those places are drawn")

    def __post_init__(self) -> None:
        """Refuse fewer mutants than none."""
        at_least(self, 0, "mutate")
