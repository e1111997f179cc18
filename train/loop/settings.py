"""The settings that every training command shares; no torch import.

One class, flat, so that a run is one TOML file. A batch is counted over all ranks and all
accumulated parts: the same file gives the same training on one process and on eight.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import at_least, positive, within


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the training loop needs to know, whatever it trains."""

    out: Path = output("folder of the run: run.toml, log.jsonl, checkpoints, samples and weights")
    seed: int = option(0, "seed of the initial weights, the data order and every noise")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")
    dtype: Literal["fp32", "bf16"] = option(
        "fp32", "number format of the computation: fp32, or bf16 by autocast; weights stay fp32"
    )
    tf32: bool = option(True, "on a GPU in fp32, compute linear layers and convolutions in TF32")
    channels_last: bool | None = option(
        None,
        "keep tensors of convolutions channels-last; unset: on a GPU in bf16, where it is faster",
    )
    nvtx: bool = option(False, "name a step's phases for the profilers of a GPU (nsys, ncu)")
    steps: int = option(30_000, "optimiser steps of the whole run")
    minutes: float | None = option(
        None,
        "end, resumable, after so many minutes; a run that was stopped before has the rest; unset: "
        "at --steps alone",
    )
    batch: int = option(
        32, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    accumulate: int = option(
        1, "parts that a batch is computed in, one after the other, for less memory"
    )
    rate: float = option(1e-4, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option(
        "constant", "learning rate after the warm-up: constant, or down to 0 along a cosine"
    )
    warm_up: int = option(0, "warm-up: steps over which the learning rate rises from 0")
    weight_decay: float = option(1e-2, "decoupled weight decay of AdamW")
    beta_1: float = option(0.9, "decay of AdamW's first moment")
    beta_2: float = option(0.999, "decay of AdamW's second moment")
    epsilon: float = option(1e-8, "ε in AdamW's denominator")
    clip: float = option(
        1.0, "largest norm of the gradient, which is scaled down to it; 0 does not clip"
    )
    ema: float = option(0.9999, "decay of the weights' moving average; 0 keeps none")
    log_every: int = option(10, "steps from one line of log.jsonl to the next")
    sample_every: int = option(1000, "steps from one grid of samples to the next; 0 draws none")
    sample_minutes: float = option(
        5.0, "minutes from one grid of samples to the next, if they come before the steps"
    )
    checkpoint_every: int = option(
        1000, "steps from one checkpoint to the next; 0: by --checkpoint-minutes alone"
    )
    checkpoint_minutes: float = option(
        10.0, "minutes from one checkpoint to the next, if they come before the steps"
    )
    keep: int = option(2, "how many of the newest checkpoints are kept")
    resume: bool = option(
        False,
        "go on from the newest whole checkpoint in --out, with the settings of that run where no "
        "others are given",
    )

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        at_least(self, 1, "steps", "batch", "accumulate", "keep", "log_every")
        at_least(
            self, 0, "seed", "warm_up", "weight_decay", "clip", "checkpoint_every", "sample_every"
        )
        positive(self, "rate", "epsilon", "minutes", "checkpoint_minutes", "sample_minutes")
        within(self, 0, 1, "beta_1", "beta_2", "ema")
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch must be a multiple of --accumulate {self.accumulate}, got {self.batch}"
            )

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return what to type after this run; its recipe is of the family `recipe`, if of any.

        `captions` are those of the sample grids, which lie beside them in a file.
        """
        return []

    def beside(self, name: str) -> Path:
        """Return a place beside the run's folder."""
        return self.out.parent / name

    def part(self, ranks: int) -> int:
        """Return how many images one rank computes at a time; ValueError if it is no integer."""
        if self.batch % (self.accumulate * ranks):
            raise ValueError(
                f"batch must be a multiple of --accumulate {self.accumulate} times {ranks} ranks, "
                f"got {self.batch}"
            )
        return self.batch // (self.accumulate * ranks)

    def rate_at(self, step: int) -> float:
        """Return the learning rate at a step, counted from 0.

        It rises linearly over the warm-up, then stays or falls to 0 as half a cosine.
        """
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        if self.schedule == "constant":
            return self.rate
        done = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def plain(self) -> dict[str, object]:
        """Return every field as a number, text, list or None, for files."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
