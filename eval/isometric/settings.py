"""The settings of `eval-isometry`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least, each_once
from latentgeo.eval.runs.settings import DATA

Metric = Literal["ppl", "mrtl", "mcn", "vor", "ls", "fd"]

METRICS: tuple[Metric, ...] = get_args(Metric)

LEAST = {
    "n_samples": 10,
    "ppl_pairs": 2,
    "walks": 2,
    "jacobians": 3,
    "frames": 3,
    "times": 1,
    "cells": 1,
}

LEAST |= {"steps": 1, "ppl_steps": 1, "batch": 1, "lanczos": 2}


@dataclass(frozen=True, kw_only=True)
class EvalIsometry:
    """Measure PPL, mRTL, MCN, VoR, separability and Fréchet distance of models without text.

    Iso Tab. 1   FID, PPL, mRTL, MCN and VoR, the base first
    Iso Tab. 2   LS with a linear and with a radial kernel
    Iso Sec. 4.1d, Iso Sec. Da, Iso Sec. Db   recipes iso-table-1 and iso-table-2: 20 DDIM steps for
                 FID of 10,000 images, 100 for PPL of 50,000 pairs, 1,000 images for MCN and VoR,
                 2,000 for LS, of which the surer half counts

    All models see the same noises and images. Started again, it goes on, also to larger numbers;
    torchrun shares the work out. Two models of 64 x 64 images and 3.8 M parameters take a quarter
    of an hour on one core.
    """

    models: tuple[str, ...] = required(
        "models without text to compare, the first is the base: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    out: Path = output("folder for the results; files of the same name are replaced")
    metrics: tuple[Metric, ...] = option(METRICS, "what to measure")
    data: str | None = option(None, DATA)
    seed: int = option(0, "seed of the images and of every noise")
    steps: int = option(20, "DDIM steps of every image; the paper has 20, and 100 for PPL")
    ppl_steps: int | None = option(
        None, "ppl: DDIM steps of its images, of which the paper has 100; unset: --steps"
    )
    n_samples: int = option(
        320, "ls, fd: images drawn, and as many held-out ones if there are so many", was="samples"
    )
    ppl_pairs: int = option(64, "ppl: pairs of noises; the paper has 50,000", was="pairs")
    ppl_epsilon: float = option(
        1e-4,
        "ppl: ε, the distance on the walk between the two images that are compared",
        was="epsilon",
    )
    ppl_scale: Literal["squared", "linear"] = option(
        "squared",
        "ppl: squared divides by ε², linear by ε, as the paper's text has it",
        was="scale",
    )
    walks: int = option(8, "mrtl: how many walks; they also give LPIPS along the walk")
    frames: int = option(11, "images per walk, both ends included")
    jacobians: int = option(
        12, "mcn, vor: held-out images, each taken at every one of --times", was="images"
    )
    times: tuple[int, ...] = option((600, 900), "mcn, vor: times t, in 1 … T")
    cells: tuple[int, ...] = option(
        (8, 1), "mcn, vor: h is averaged over squares of so many cells a side; 1 is h itself"
    )
    lanczos: int = option(
        40, "mcn, vor: Lanczos steps towards both ends of the spectrum of a large Jacobian"
    )
    exact: float = option(
        4.0, "mcn, vor: largest Jacobian that is decomposed as a whole, in millions of entries"
    )
    classifier: Path | None = option(
        None, "file of a classifier of attributes; unset: the embedded one"
    )
    inception: Path | None = option(None, "file of FID's InceptionV3; with it, fd has the FID too")
    batch: int = option(16, "images computed at a time; it changes speed and memory, nothing else")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Literal["fp32", "fp64"] = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no measurement could use, before torch is imported."""
        each_once(self, "models", "metrics", "times", "cells")
        for name, least in LEAST.items():
            at_least(self, least, name)
        if not 0 < self.ppl_epsilon <= 1:
            raise ValueError(f"ppl_epsilon must lie in (0, 1], got {self.ppl_epsilon}")
        if not self.exact >= 0:
            raise ValueError(f"exact must not be negative, got {self.exact}")
