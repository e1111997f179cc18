"""The settings of `eval-asyrp` and `eval-intervals`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least, positive
from latentgeo.eval.runs.settings import DATA
from latentgeo.models.bundles.settings import MODEL_CONFIG, PREDICTION, Dtype, Prediction

PROPERTIES = (
    *("success", "rivals", "linearity", "homogeneity", "robustness", "consistency", "steps"),
)

ASKED = ("layers",)  # measured where asked for alone


@dataclass(frozen=True, kw_only=True)
class EvalAsyrp:
    """Measure edits in the bottleneck of a model without text, and the properties of that space.

    Asyrp Sec. 5b   1,000 steps, in the recipe asyrp-table-4

    success: was the wanted made, and the rest kept. rivals: whole models tuned to one edit, shifts
    in P_t and D_t, random shifts. linearity: scores against scales. homogeneity: one image's shift
    on another. robustness: noise in h and in ε. consistency: Δh_t beside its mean and one Δh for
    all t. steps: S Δh_t/S̃ in S̃ steps. layers, only where asked for: edits learned at other layers
    (train-asyrp --layer), by own shifts and another image's. What an edit wants is read off its two
    texts, in the words of the avatars. Time: an edit takes about 18 times as long as to sample all
    images, which is half a minute for 32 of 64 × 64 in 40 steps on one core (success 2, rivals 5,
    linearity 3, homogeneity 4, consistency 2.5, steps 1.5, layers 5), and robustness once 2 times
    per level; where an edit acts a step costs half more. Started again, it goes on; torchrun shares
    the images out.
    """

    model: str = required("model without text: an embedded name, a folder or a file of any program")
    edits: tuple[str, ...] = required(
        "directions to measure: the model's own by name, or files of train-asyrp: FILE[=NAME]"
    )
    out: Path = output("folder for the rows and results.json; files are replaced")
    properties: tuple[str, ...] = option(
        PROPERTIES, "what to measure: some of the defaults, and layers"
    )
    rivals: tuple[str, ...] = option(
        (), "whole models that train-diffusion-clip wrote, each for one edit: NAME=MODEL"
    )
    t_0: int = option(500, "rivals: time up to which images are noised for the whole models")
    data: str | None = option(None, DATA)
    n_images: int = option(32, "held-out images", was="images")
    steps: int = option(40, "S̃, steps from T to 0, also of the inversion")
    lengths: tuple[int, ...] = option((10, 20), "steps: other values of S̃ to edit in")
    scales: tuple[float, ...] = option(
        (-2.0, -1.0, 0.0, 1.0, 2.0), "linearity: strengths c_i of the direction"
    )
    levels: tuple[float, ...] = option(
        (0.1, 0.3, 1.0), "robustness: norms of a random shift, as shares of the norm of h or ε"
    )
    keep_variance: bool = option(
        False, "robustness: also noise in ε after which it is divided by √(1 + σ²), as in App. D.2"
    )
    averaged: int = option(20, "images drawn to average the mean and the global shift over")
    judge: str = option(
        "avatars",
        "judge: avatars, the embedded one, or a file or folder of CLIP or of a small CLIP",
    )
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )
    intervals: Path | None = option(
        None,
        "file that eval-intervals wrote; it gives t_edit and t_boost of directions that know "
        "their texts",
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
    learned_steps: int = option(
        40, "S, steps that a direction was learned in, where its file does not say"
    )
    seed: int = option(0, "seed of the choice of images, and of all noise")
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no measurement could use, before torch is imported."""
        known = PROPERTIES + ASKED
        if unknown := sorted(set(self.properties) - set(known)):
            raise ValueError(f"properties: got {unknown[0]!r}, wanted some of {', '.join(known)}")
        if not self.edits or not self.properties:
            raise ValueError("edits and properties: got none of one, wanted at least one of each")
        at_least(self, 1, "averaged", "learned_steps", "batch", "t_0")
        at_least(self, 2, "n_images", "steps")
        if any(length < 2 for length in self.lengths):
            raise ValueError(f"lengths: got {list(self.lengths)}, wanted 2 steps or more")
        if len(set(self.scales)) < 3 or len(set(self.scales)) != len(self.scales):
            raise ValueError(f"scales: got {list(self.scales)}, wanted three or more, each once")
        if any(not level >= 0 for level in self.levels):
            raise ValueError(f"levels: got {list(self.levels)}, wanted norms of 0 or more")
        for rival in self.rivals:
            if not all(rival.partition("=")):
                raise ValueError(f"rivals: got {rival!r}, wanted NAME=MODEL")


@dataclass(frozen=True, kw_only=True)
class EvalIntervals:
    """Measure LPIPS(x, P_t) and LPIPS(x, x_t) along inversions, and t_edit and t_boost from them.

    Asyrp Sec. G.2   of 100 images; at all 1,000 times in the recipe asyrp-table-2

    OUT/intervals.json is --intervals of edit-semantic and train-asyrp. Started again, it goes on;
    torchrun shares the images out.
    """

    model: str = required("model without text: an embedded name, a folder or a file of any program")
    out: Path = output("folder for intervals.json, the plot and the results; files are replaced")
    data: str | None = option(None, DATA)
    n_images: int = option(100, "held-out images; the paper has 100", was="images")
    steps: int = option(100, "steps of the inversion, each with a distance; the paper has 1000")
    similarity: tuple[float, ...] = option(
        (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.5), "cosines of two texts for which t_edit is stated"
    )
    boost: float = option(
        1.2,
        "LPIPS(x, x_t) at which boosting begins; the default is the paper's, small images may "
        "need less",
    )
    edit_rule: Literal["first", "shortest"] = option(
        "first",
        "t_edit is the first time as far from x as asked (first, as released), or the last one as "
        "near (shortest, the text)",
    )
    seed: int = option(0, "seed of the choice of images, and of the confidence intervals")
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    model_config: Path | None = option(None, MODEL_CONFIG)
    prediction: Prediction | None = option(None, PREDICTION)
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no measurement could use, before torch is imported."""
        at_least(self, 1, "n_images", "batch")
        at_least(self, 2, "steps")
        positive(self, "boost")
        if not all(-1 <= cos <= 1 for cos in self.similarity):
            raise ValueError(f"similarity: got {list(self.similarity)}, wanted cosines in [-1, 1]")
