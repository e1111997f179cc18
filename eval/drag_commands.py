"""The command `eval-drag`; importing it imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.cli import option, required
from latentgeo.core.limits import at_least, each_once
from latentgeo.eval.commands import Dtype


@dataclass(frozen=True, kw_only=True)
class EvalDrag:
    """Drag prepared points of held-out images with several models, and measure where they end."""

    out: Path = required("folder for the results; files of the same name are replaced")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"),
        "models to compare, the first is the reference: NAME, NAME+LORA or NAME+LORA@SCALE",
    )
    cases: Path | None = option(
        None, "JSON file of images, points and editable boxes; the package's own if unset"
    )
    count: int | None = option(None, "of the cases, the first; all if unset")
    data: Path | None = option(None, "zip of captioned images; the embedded avatars if unset")
    seed: int = option(0, "of the identity LoRAs")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        each_once(self, "models")
        at_least(self, 1, "count")

    def run(self) -> None:
        """Drag, write results.json and the pictures, print the table."""
        from latentgeo.eval.drag import evaluate_drag

        evaluate_drag(self)
