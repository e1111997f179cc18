"""The command that measures the intervals of semantic editing; importing it imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.cli import option, required
from latentgeo.core.limits import at_least, positive
from latentgeo.infer.commands import MODEL_CONFIG, Dtype


@dataclass(frozen=True, kw_only=True)
class EvalIntervals:
    """Measure LPIPS(x, P_t) and LPIPS(x, x_t) along inversions, and t_edit and t_boost from them.

    OUT/intervals.json is --intervals of edit-semantic and train-asyrp. Started again, it goes on;
    torchrun shares the images out.
    """

    model: str = required("name, folder or file of a model without text, of any layout")
    out: Path = required("folder for intervals.json, the plot and the results; files are replaced")
    data: Path | None = option(None, "zip of captioned images; the embedded avatars if unset")
    images: int = option(100, "held-out images (the paper: 100)")
    steps: int = option(100, "steps of the inversion, and distances (the paper: 1000)")
    similarity: tuple[float, ...] = option(
        (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.5), "cosines of texts to state t_edit for"
    )
    boost: float = option(
        1.2, "LPIPS(x, x_t) at t_boost: the paper's; small images may need less, or stay without"
    )
    seed: int = option(0, "seed of which images, and of the intervals")
    batch: int = option(16, "images at a time; changes speed and memory alone")
    model_config: Path | None = option(None, MODEL_CONFIG)
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no measurement could use, before torch is imported."""
        at_least(self, 1, "images", "batch")
        at_least(self, 2, "steps")
        positive(self, "boost")
        if not all(-1 <= cos <= 1 for cos in self.similarity):
            raise ValueError(f"similarity: got {list(self.similarity)}, wanted cosines in [-1, 1]")

    def run(self) -> None:
        """Measure, write the files and print the times."""
        from latentgeo.eval.intervals import evaluate_intervals

        evaluate_intervals(self)
