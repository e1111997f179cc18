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

    Asyrp Sec. 5b, Asyrp Sec. G.1   1,000 steps are --steps, other intervals --t-edit

    A row of the grid is an image and an attribute, a column a factor of its scale. Images are
    inverted once for the same weights and steps, whatever is then done to them.
    """

    model: str = required("model without text: an embedded name, a folder or a file of any program")
    direction: tuple[str, ...] = required(
        "directions: the model's own by name, or what train-asyrp wrote (file or folder), or files "
        "of Asyrp's authors: FILE[=NAME]"
    )
    out: Path = output("folder for the grid and its rows; files of the same name are replaced")
    images: tuple[Path, ...] = option(
        (), "image files to edit; they are cut and scaled to the model's size"
    )
    seeds: tuple[int, ...] = option((), "seeds of images to draw and edit")
    scale: tuple[float, ...] = option(
        (), "strength c_i of each direction, which may be negative; unset: 1"
    )
    strip: tuple[float, ...] = option(
        (0.0, 0.5, 1.0),
        "columns of the grid: factors that multiply --scale; 0 is the image without the edit",
    )
    combine: bool = option(False, "apply all directions at once, not one by one")
    shift: Literal["own", "mean", "global"] = option(
        "own",
        "shift Δh: each image's own; the mean over several images at each t; or one for all t",
    )
    both: bool = option(
        False, "for comparison: shift D_t as well as P_t; by Theorem 1 the two then cancel"
    )
    averaged: int = option(20, "images drawn to average the mean and the global shift over")
    steps: int = option(50, "S̃, steps from T to 0; the paper has 1000")
    inversion_steps: int | None = option(None, "steps of an image's inversion; unset: as --steps")
    learned_steps: int = option(
        40, "S, steps that a direction was learned in, where its file does not say"
    )
    t_edit: int | None = option(
        None,
        "edit at times T ≥ t ≥ t_edit; unset: from --intervals, else from the directions' files",
    )
    t_boost: int | None = option(
        None,
        "put noise back at times t < t_boost, 0: never; unset: from --intervals, else from the "
        "directions' files, else 0",
    )
    overlap: Literal["printed", "released", "boosted"] = option(
        "printed",
        "where t_edit ≤ t < t_boost: printed edits, released edits and adds noise, boosted adds "
        "noise alone",
    )
    intervals: Path | None = option(
        None,
        "file that eval-intervals wrote; it gives t_edit and t_boost of directions that know "
        "their texts",
    )
    refine: int = option(0, "fixed-point rounds in each step of the inversion; more is more exact")
    cache: Path | None = option(
        None, "folder that keeps inversions for the next run; unset: OUT/inversions"
    )
    seed: int = option(0, "seed of the noise put back at t < t_boost, and of the --averaged images")
    size: int | None = option(None, "side of the images in pixels; unset: the model's own")
    batch: int = option(16, "samples computed at a time; it changes speed and memory, nothing else")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        if bool(self.images) == bool(self.seeds):
            got = "both" if self.images else "neither"
            raise ValueError(
                f"images and seeds: got {got}, wanted images to edit, or seeds to draw"
            )
        if not self.direction or not self.strip:
            raise ValueError("direction and strip: got none of one, wanted at least one of each")
        if self.scale and len(self.scale) not in (1, len(self.direction)):
            wanted = f"1 number, or {len(self.direction)}: one for each --direction"
            raise ValueError(f"scale: got {len(self.scale)}, wanted {wanted}")
        at_least(self, 0, "refine", "t_boost")
        at_least(self, 1, "averaged", "learned_steps", "batch", "t_edit")
        at_least(self, 2, "steps", "inversion_steps")
