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

    out: Path = output("folder for run.toml, log.jsonl, checkpoints, samples and weights")
    seed: int = option(0, "seed of the initial weights, the data order and every noise")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Literal["fp32", "bf16"] = option("fp32", "bf16 computes in autocast; weights stay fp32")
    channels_last: bool = option(False, "keep convolutions' tensors channels-last (faster in bf16)")
    steps: int = option(30_000, "optimiser steps in all")
    minutes: float | None = option(None, "stop, resumable, after this much time in this call")
    batch: int = option(32, "images per optimiser step, over all ranks and accumulated parts")
    accumulate: int = option(1, "parts that a batch is split into, one after the other")
    rate: float = option(1e-4, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option("constant", "learning rate after the warm-up")
    warm_up: int = option(0, "steps over which the learning rate rises linearly")
    weight_decay: float = option(1e-2, "decoupled weight decay of AdamW")
    beta_1: float = option(0.9, "decay of AdamW's first moment")
    beta_2: float = option(0.999, "decay of AdamW's second moment")
    epsilon: float = option(1e-8, "AdamW's denominator constant")
    clip: float = option(1.0, "largest gradient norm; 0 does not clip")
    ema: float = option(0.9999, "decay of the weights' moving average; 0 keeps none")
    log_every: int = option(10, "steps per record of log.jsonl")
    sample_every: int = option(1000, "steps per sample grid; 0 draws none")
    checkpoint_every: int = option(1000, "steps per checkpoint; 0 leaves it to the clock")
    checkpoint_minutes: float = option(10.0, "minutes per checkpoint, whichever comes first")
    keep: int = option(2, "checkpoints kept, newest first")
    resume: bool = option(False, "continue from the newest whole checkpoint in the out folder")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        at_least(self, 1, "steps", "batch", "accumulate", "keep", "log_every")
        at_least(
            self, 0, "seed", "warm_up", "weight_decay", "clip", "checkpoint_every", "sample_every"
        )
        positive(self, "rate", "epsilon", "minutes", "checkpoint_minutes")
        within(self, 0, 1, "beta_1", "beta_2", "ema")
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch must be a multiple of accumulate ({self.accumulate}), got {self.batch}"
            )

    def part(self, ranks: int) -> int:
        """Return how many images one rank computes at a time; ValueError if it is no integer."""
        if self.batch % (self.accumulate * ranks):
            raise ValueError(
                f"batch must be a multiple of accumulate × ranks ({self.accumulate} × {ranks}), "
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
