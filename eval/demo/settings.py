"""The settings of `demo`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option
from latentgeo.eval.runs.settings import Evaluation


@dataclass(frozen=True, kw_only=True)
class Demo(Evaluation):
    """Show and measure what Smooth-LoRA changes: one report.html and results.json."""

    quick: bool = option(False, "a minute on two cores instead of ten; wider intervals")
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )
