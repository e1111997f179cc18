"""The settings of `compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from latentgeo.core.run.cli import option
from latentgeo.core.run.limits import at_least, each_once
from latentgeo.eval.runs.settings import Evaluation

Metric = Literal[
    "istd",
    "ppl",
    "mrtl",
    "jacobian",
    "reconstruction",
    "quality",
    "transport",
    "edit",
]

METRICS: tuple[Metric, ...] = get_args(Metric)

LEAST = {"n_prompts": 2, "ppl_pairs": 2, "arcs": 2, "jacobians": 3, "inverted": 2, "n_images": 10}

LEAST |= {"pairs": 5, "n_edits": 2, "frames": 3, "shown": 1, "steps": 1}

SEPARABLE = 1000  # images that linear separability takes at least


@dataclass(frozen=True, kw_only=True)
class Compare(Evaluation):
    """Measure base, smooth, isometric and both adapters by every metric; resumes, runs on ranks.

    The first model is the base; what the others do is paired with it, prompt by prompt and noise by
    noise. `--metrics jacobian` is MCN and VoR.
    """

    models: tuple[str, ...] = option(
        (
            "base=avatars",
            "smooth=avatars+smooth_lora",
            "isometric=avatars+isometric_lora",
            "smooth + isometric=avatars+smooth_lora+isometric_lora",
        ),
        "models to compare, the first is the base: NAME=MODEL, where MODEL is NAME, NAME+LORA "
        "or NAME+LORA@SCALE+LORA",
    )
    metrics: tuple[Metric, ...] = option(METRICS, "what to measure")
    steps: int | None = option(15, "DDIM steps; none: the model's own default")
    frames: int = option(11, "images per walk, both ends included")
    n_prompts: int = option(
        18, "istd: how many walks, each under a prompt of its own", was="prompts"
    )
    ppl_pairs: int = option(24, "ppl: pairs of noises", was="noises")
    ppl_epsilon: float = option(
        1e-3,
        "ppl: ε, the distance on the walk between the two images that are compared",
        was="epsilon",
    )
    arcs: int = option(8, "mrtl: how many walks")
    jacobians: int = option(4, "jacobian: held-out images, each taken at every one of --times")
    times: tuple[int, ...] = option((600, 900), "jacobian: times t, in 1 … T")
    cells: tuple[int, ...] = option(
        (4, 1), "jacobian: h is averaged over squares of so many cells a side"
    )
    inverted: int = option(24, "reconstruction: held-out images, inverted by DDIM")
    n_images: int = option(
        96, "quality: samples of each model, and as many held-out images", was="images"
    )
    pairs: int = option(6, "transport: pairs of prompts, walked between under each coupling")
    n_edits: int = option(16, "edit: held-out images, edited by text", was="edits")
    n_samples: int = option(
        0, f"images of linear separability, {SEPARABLE} or more; 0: without it", was="samples"
    )
    shown: int = option(2, "walks of each model that the page shows")
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )

    def __post_init__(self) -> None:
        """Refuse what no comparison could be of."""
        super().__post_init__()
        self.named()
        each_once(self, "metrics")
        for name, least in LEAST.items():
            at_least(self, least, name)
        if self.n_samples and self.n_samples < SEPARABLE:
            raise ValueError(f"n_samples must be 0 or at least {SEPARABLE}, got {self.n_samples}")

    def named(self) -> dict[str, str]:
        """Return the models as `load_model` reads them, by the names that they have here.

        Raises ValueError unless there are two or more, each with a name of its own.
        """
        split = [one.partition("=") for one in self.models]
        found = {name.strip(): spec.strip() for name, _, spec in split if name.strip() and spec}
        if len(found) != len(self.models) or len(found) < 2:
            raise ValueError(
                f"models: got {list(self.models)}, wanted NAME=MODEL, two or more, each name once"
            )
        return found
