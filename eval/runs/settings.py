"""The settings of every measurement that compares models."""

import math
from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least, each_once
from latentgeo.models.bundles.settings import Dtype

DATA = (
    "what training takes: a folder, .zip, .tar shards, a cache, or avatars, the default for "
    "embedded models"
)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What every measurement of models needs to know."""

    out: Path = output("folder for the results; files of the same name are replaced")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"),
        "models to compare, the first is the base: NAME, NAME+LORA or NAME+LORA@SCALE+LORA",
    )
    data: str | None = option(None, DATA)
    seed: int = option(0, "seed of the captions and of every noise")
    steps: int | None = option(None, "DDIM steps; unset: the model's own default")
    guidance: float | None = option(
        None, "guidance scale w, 1 is no guidance; unset: the model's own default"
    )
    batch: int = option(66, "images computed at a time; it changes speed and memory, nothing else")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        each_once(self, "models")
        at_least(self, 1, "batch", "steps")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise ValueError(f"guidance must be finite and not negative, got {self.guidance}")
