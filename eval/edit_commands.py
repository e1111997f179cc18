"""The command that measures text edits; importing it imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.cli import option
from latentgeo.core.limits import at_least, each_once
from latentgeo.eval.commands import Evaluation
from latentgeo.infer.edit_commands import EditOptions, Method


@dataclass(frozen=True, kw_only=True)
class EvalEdit(EditOptions, Evaluation):
    """Measure text edits of held-out faces: is the wanted attribute there, are the others kept."""

    images: int = option(48, "held-out images, one edit each")
    methods: tuple[Method, ...] = option(
        ("smooth", "sdedit", "prompt-to-prompt", "plug-and-play"), "ways to edit"
    )
    batch: int = option(16, "images at a time; changes speed and memory alone")
    classifier: Path | None = option(None, "attribute classifier; the embedded one if unset")

    def __post_init__(self) -> None:
        """Refuse sets too small for an interval."""
        Evaluation.__post_init__(self)
        EditOptions.__post_init__(self)
        at_least(self, 2, "images")
        each_once(self, "methods")

    def run(self) -> None:
        """Measure, write results.json and strips, print the table."""
        from latentgeo.eval.edit_run import evaluate_edits

        evaluate_edits(self)
