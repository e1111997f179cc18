"""The settings of `demo`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option
from latentgeo.eval.runs.settings import Evaluation


@dataclass(frozen=True, kw_only=True)
class Demo(Evaluation):
    """Show and measure what the embedded models do: one report.html and results.json.

    The page is written after each section, so that a run that was stopped has shown something; the
    same command goes on from there.
    """

    quick: bool = option(False, "the models with text alone, n = 5: a minute on two cores, not 5")
    full: bool = option(False, "the numbers of README, n = 100: 11 minutes on two cores, not 5")
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )

    def __post_init__(self) -> None:
        """Refuse two lengths at once."""
        super().__post_init__()
        if self.quick and self.full:
            raise ValueError("quick and full: got both, wanted one of them, or none for 5 minutes")
