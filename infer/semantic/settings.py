"""The settings of `edit-semantic`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import MODEL_CONFIG, PREDICTION, Dtype, Prediction


@dataclass(frozen=True, kw_only=True)
class EditSemantic:
    """Edit images by directions in the bottleneck of a model without text (Asyrp).

    A row of the grid is an image and an attribute, a column a factor of its scale. Images are
    inverted once for the same weights and steps, whatever is then done to them.
    """

    model: str = required("name, folder or file of a model without text, of any layout")
    direction: tuple[str, ...] = required(
        "the model's own by name, or files of train-asyrp, or released: FILE[=NAME]"
    )
    out: Path = output("folder for the grid and its rows; files of the same name are replaced")
    images: tuple[Path, ...] = option((), "images to edit, cut and scaled to the model's size")
    seeds: tuple[int, ...] = option((), "seeds of images that are drawn, and edited")
    scale: tuple[float, ...] = option((), "c_i of every direction, of any sign; 1 if unset")
    strip: tuple[float, ...] = option((-2.0, -1.0, 0.0, 1.0, 2.0), "factors of all scales")
    combine: bool = option(False, "all directions at once, not one by one")
    shift: Literal["own", "mean", "global"] = option(
        "own", "of each image and t; the mean of several images at each t; one for all t"
    )
    both: bool = option(
        False, "to compare: the shift in D_t as in P_t, where Theorem 1 has it cancel"
    )
    averaged: int = option(20, "images drawn for the mean and the global shift")
    steps: int = option(50, "S̃, steps from T to 0 (the paper: 1000)")
    inversion_steps: int | None = option(None, "steps of an image's inversion; as many if unset")
    learned_steps: int = option(40, "S of directions whose files do not say")
    t_edit: int | None = option(None, "edit at T ≥ t ≥ t_edit; unset, of intervals, or the files")
    t_boost: int | None = option(
        None, "put noise back at t < t_boost, 0: never; unset, of intervals, or the files, or 0"
    )
    overlap: Literal["printed", "released", "boosted"] = option(
        "printed", "at t_edit ≤ t < t_boost: the edit, the edit with noise, or noise alone"
    )
    intervals: Path | None = option(None, "file of eval-intervals, for directions with their texts")
    refine: int = option(0, "fixed-point rounds per step of the inversion")
    cache: Path | None = option(None, "folder of inversions; OUT/inversions if unset")
    seed: int = option(0, "seed of an image's noise at t < t_boost, and of the averaged images")
    size: int | None = option(None, "side of the images in pixels; the model's if unset")
    batch: int = option(16, "samples at a time; changes speed and memory alone")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        if bool(self.images) == bool(self.seeds):
            raise ValueError("images or seeds: wanted the one or the other")
        if not self.direction or not self.strip:
            raise ValueError("direction and strip: wanted at least one of each")
        if self.scale and len(self.scale) not in (1, len(self.direction)):
            wanted = f"1 or {len(self.direction)}, one per direction"
            raise ValueError(f"scale: got {len(self.scale)}, wanted {wanted}")
        at_least(self, 0, "refine", "t_boost")
        at_least(self, 1, "averaged", "learned_steps", "batch", "t_edit")
        at_least(self, 2, "steps", "inversion_steps")
