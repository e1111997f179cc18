"""The settings of `toy-isometry`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class ToyIsometry:
    """Flatten a sphere with an autoencoder: reconstruction alone, with G = I, with the right G."""

    out: Path = output("folder for the pictures and the numbers; files are replaced")
    gap: float = option(60.0, "angle about the north pole that is left out, in degrees; 0: none")
    iso_weight: float = option(
        0.1, "λ, weight of the isometry loss; the reconstruction has 1", was="weight"
    )
    steps: int = option(1000, "training steps of each autoencoder")
    batch: int = option(128, "points of the sphere in a step", was="points")
    width: int = option(64, "width of the two hidden layers of encoder and decoder")
    rate: float = option(0.01, "Adam's learning rate, down to 0 along a cosine")
    repeats: int = option(
        3, "trainings of each kind, from different weights; numbers are means over them"
    )
    seed: int = option(0, "seed of weights, points and probes")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 1, "steps", "batch", "width", "repeats")
        if not 0 <= self.gap < 180:
            raise ValueError(f"gap must be in [0, 180), got {self.gap}")
        if not self.rate > 0 or not self.iso_weight >= 0:
            got = f"{self.rate} and {self.iso_weight}"
            raise ValueError(f"rate must be positive and iso_weight not negative, got {got}")
