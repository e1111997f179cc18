"""Faces edited by one model: each batch inverted once for all methods, each edit seen and timed.

Cost   of an edit, the inversion that it needs included, decoding not: on a CPU seconds of
       processor time, which others' work does not lengthen, on a GPU seconds; and of the first
       edit alone the most that tensors held at once, beside the weights (`eval/bench/meter.py`)
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from latentgeo.core.run.seeds import mix
from latentgeo.eval.bench.meter import Meter
from latentgeo.eval.contenders import Contender
from latentgeo.eval.metrics.edit_regions import regions
from latentgeo.eval.metrics.editing import SWAPPED, Change, Eyes, Seen, look, propose
from latentgeo.eval.metrics.heldout import Captioned
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.smooth.settings import EvalEdit
from latentgeo.infer.text_edits.editing import (
    Draw,
    TextEdit,
    drawing,
    editing,
    invert,
    reconstruct,
)
from latentgeo.infer.text_edits.methods import run_edit
from latentgeo.infer.text_edits.settings import EditOptions, Method

T = TypeVar("T")
RECONSTRUCTION: Literal["reconstruction"] = "reconstruction"
Way = Method | Literal["reconstruction"]
REGION_IMAGES = 1024  # training images behind the regions, at most
UNINVERTED = {"sdedit", "cycle-diffusion"}  # they noise the image instead


@dataclass(frozen=True)
class Faces:
    """Images, one change of each, and the pixels outside every attribute."""

    data: str  # the beginning of the SHA-256 of the file that they are in
    images: Tensor  # (N, 3, H, W) in [-1, 1]
    changes: Sequence[Change]
    regions: Mapping[str, Tensor]


def faces_of(held: Captioned, train: Captioned, eyes: Eyes, size: int, seed: int) -> Faces:
    """Return the images of `held` to be edited; regions are measured on those of `train`."""
    others = train.chosen(min(len(train), REGION_IMAGES), seed).images(size)
    images = held.images(size)
    changes = propose(held.captions, eyes.read(images), seed)
    elsewhere = regions(others, eyes.read(others), SWAPPED)
    return Faces(held.origin.digest(), images, changes, elsewhere)


@dataclass(frozen=True, eq=False)
class Start:
    """What the edits of a batch begin with."""

    edit: TextEdit
    z_0: Tensor  # (B, C, h, w) of the sources
    x_T: Tensor  # (B, C, h, w), which denoises to them
    draw: Draw
    source: Tensor  # (B, 3, H, W), through the autoencoder
    seconds: float  # that x_T took, for the batch


class Edits:
    """The edits of faces by one model."""

    def __init__(self, cmd: EvalEdit, one: Contender, faces: Faces, eyes: Eyes) -> None:
        self.cmd, self.one, self.faces, self.eyes = cmd, one, faces, eyes
        self._starts: dict[tuple[int, ...], Start] = {}

    def rows(self, way: Way, options: EditOptions, jobs: Sequence[int]) -> list[Row]:
        """Return what was seen of each edit, and what it took."""
        parts = [tuple(jobs[i : i + self.cmd.batch]) for i in range(0, len(jobs), self.cmd.batch)]
        return [row for part in parts for row in self.batch(way, options, part)[0]]

    def batch(
        self, way: Way, options: EditOptions, jobs: tuple[int, ...]
    ) -> tuple[list[Row], Tensor]:
        """Return the rows of one batch, and its edits (B, 3, H, W) in [-1, 1] on the CPU.

        Raises ValueError where an edit is not finite.
        """
        start = self.start(jobs)
        z, seconds = timed(lambda: made(start, way, options), start.z_0.device)
        images = self._decoded(z)
        changes = [self.faces.changes[i] for i in jobs]
        seen = look(changes, start.source, images, self.eyes, self.faces.regions)
        each = (seconds + (0.0 if way in UNINVERTED else start.seconds)) / len(jobs)
        columns = {name: values.tolist() for name, values in vars(seen).items()}
        rows: list[Row] = [
            {name: values[i] for name, values in columns.items()} | {"seconds": each}
            for i in range(len(jobs))
        ]
        return rows, images

    def held(self, way: Way, options: EditOptions) -> int:
        """Return the bytes that tensors of the first edit alone held at once, without weights."""
        start = self.start((0,))
        with Meter() as meter:
            made(start, way, options)
        return meter.peak

    def start(self, jobs: tuple[int, ...]) -> Start:
        """Return what the edits of these faces begin with."""
        if jobs not in self._starts:
            self._starts[jobs] = self._started(jobs)
        return self._starts[jobs]

    @torch.no_grad()
    def _started(self, jobs: tuple[int, ...]) -> Start:
        bundle, sampling = self.one.bundle, self.one.sampling
        changes = [self.faces.changes[i] for i in jobs]
        sources, targets = [c.source for c in changes], [c.target for c in changes]
        own = 1.0 if self.cmd.source_guidance is None else self.cmd.source_guidance
        edit = editing(bundle, sources, targets, sampling.steps, sampling.guidance, own)
        z_0 = bundle.encode(self.faces.images[list(jobs)]).float()
        x_T, seconds = timed(
            lambda: invert(bundle, z_0, sources, edit.times, self.cmd.refine), z_0.device
        )
        draw = drawing([mix(self.cmd.seed, "sdedit", i) for i in jobs], z_0)
        return Start(edit, z_0, x_T, draw, self._decoded(z_0), seconds)

    @torch.no_grad()
    def _decoded(self, z: Tensor) -> Tensor:
        return self.one.bundle.decode(z).float().cpu()


def made(start: Start, way: Way, options: EditOptions) -> Tensor:
    """Return the latents (B, C, h, w) of one batch by one method."""
    if way == RECONSTRUCTION:
        return reconstruct(start.edit, start.x_T)
    return run_edit(start.edit, way, options, start.x_T, start.z_0, start.draw)


def timed(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Return what `work` returns, and the seconds that it took: on a CPU of processor time."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    begun = clock()
    found = work()
    wait()
    return found, clock() - begun


def seen_of(rows: Sequence[Row]) -> Seen:
    """Return what the rows saw."""
    return Seen(**{f.name: np.array([row[f.name] for row in rows], float) for f in fields(Seen)})
