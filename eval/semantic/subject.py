"""The images that a model's edits are measured on, and the ways to edit them.

Images are inverted once and for all. What several measurements need, reconstructions and plain
edits, is made once in a run.

Job      the number of an image; the image after it, job + 1, is its donor where one is needed
Noise    an image's belongs to it: batches change nothing
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from latentgeo.core import asyrp
from latentgeo.core.run.seeds import mix
from latentgeo.eval.semantic.looks import Look, Readers, Reading, compare, read
from latentgeo.eval.semantic.shifts import EpsShift, shift_eps
from latentgeo.eval.semantic.wanted import Wanted
from latentgeo.infer.sampling.pipeline import seed_noises, seeded_noise
from latentgeo.infer.sampling.unprompted import Draw, images_of
from latentgeo.infer.semantic.editing import Attribute, Editing, averaged, edit, editing_times
from latentgeo.models.bundles.delta_h import Direction, DirectionTable
from latentgeo.models.bundles.image_model import ImageModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """One edit that is measured."""

    name: str
    attribute: Attribute
    t_boost: int
    wanted: Wanted
    texts: Tensor  # (2, K), E_T of source and target
    said: tuple[str, str]  # source and target
    hash: str  # of its file
    overlap: asyrp.Overlap = "printed"  # what is done at t_edit ≤ t < t_boost

    def editing(self, count: int, scale: float = 1.0, both: bool = False) -> Editing:
        """Return what is done to a batch of so many images, all with one scale."""
        return Editing(
            attributes=[self.attribute],
            scales=torch.full((count, 1), scale),
            t_boost=self.t_boost,
            both=both,
            overlap=self.overlap,
        )

    @property
    def boosted_below(self) -> int:
        """The time below which its process puts noise in, whatever the shift is."""
        t_edit = self.attribute.t_edit
        return min(t_edit, self.t_boost) if self.overlap == "printed" else self.t_boost


@dataclass(frozen=True, kw_only=True, eq=False)
class Rival:
    """A whole model tuned to one edit, and where its images start."""

    model: ImageModel
    hash: str
    x: Tensor  # (N, C, h, w) at visited[0]
    visited: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A model with N + 1 images and what looks at them."""

    model: ImageModel
    readers: Readers
    images: Tensor  # (N + 1, 3, H, W), held out
    x_T: Tensor  # (N + 1, C, h, w)
    steps: int
    seed: int
    scales: Sequence[float] = ()
    levels: Sequence[float] = ()
    keep_variance: bool = False  # whether noise in ε is also measured with ε's variance kept
    lengths: Sequence[int] = ()
    averaged: int = 20
    rivals: dict[str, Rival] = field(default_factory=dict)
    memo: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    means: dict[str, DirectionTable] = field(default_factory=dict)

    def visited(self, steps: int | None = None) -> tuple[int, ...]:
        """Return the times from T to 0 of so many steps, or its own."""
        return editing_times(self.model.schedule, steps or self.steps)

    def starts(self, jobs: Sequence[int]) -> Tensor:
        """Return x_T (B, C, h, w) of these images, where the model is."""
        return self.x_T[list(jobs)].to(self.model.device)

    def draw(self, jobs: Sequence[int], stream: str = "boost") -> Draw:
        """Return what draws these images' noise of one purpose, always the same."""
        return seeded_noise([mix(self.seed, stream, i) for i in jobs])

    def edited(
        self,
        one: Edit,
        jobs: Sequence[int],
        scale: float = 1.0,
        direction: Direction | None = None,
        steps: int | None = None,
        both: bool = False,
    ) -> Tensor:
        """Return images (B, 3, H, W) edited with Δh, or with another direction in its place."""
        if direction is not None:
            one = replace(one, attribute=replace(one.attribute, direction=direction))
        editing = one.editing(len(jobs), scale, both)
        x_T, times = self.starts(jobs), self.visited(steps)
        return images_of(self.model, edit(self.model, x_T, editing, times, self.draw(jobs)))

    def eps_edited(
        self, one: Edit, jobs: Sequence[int], delta: EpsShift, both: bool = False
    ) -> Tensor:
        """Return images (B, 3, H, W) with ε shifted where the edit acts, in P_t or in both."""
        x_T, draw = self.starts(jobs), self.draw(jobs)
        editing = one.editing(len(jobs), both=both)
        x_0 = shift_eps(self.model, x_T, delta, self.visited(), editing, draw)
        return images_of(self.model, x_0)

    def kept(
        self,
        key: tuple[object, ...],
        jobs: Sequence[int],
        make: Callable[[list[int]], Tensor],
    ) -> Reading:
        """Return what is read of images (B, 3, H, W), which are made once for each key and job."""
        todo = [i for i in jobs if (*key, i) not in self.memo]
        if todo:
            for i, image in zip(todo, make(todo), strict=True):
                self.memo[(*key, i)] = image
        return read(self.readers, torch.stack([self.memo[(*key, i)] for i in jobs]))

    def plain(self, one: Edit, jobs: Sequence[int], steps: int | None = None) -> Reading:
        """Return what is read of the images by the edit's process with Δh = 0."""
        key = ("plain", one.boosted_below, steps or self.steps)
        return self.kept(key, jobs, lambda todo: self.edited(one, todo, scale=0.0, steps=steps))

    def scaled(self, one: Edit, jobs: Sequence[int], scale: float) -> Reading:
        """Return what is read of the images with a scale of the edit; 0 is the plain process."""
        if scale == 0:
            return self.plain(one, jobs)
        return self.kept((one.name, scale), jobs, lambda todo: self.edited(one, todo, scale))

    def own(self, one: Edit, jobs: Sequence[int]) -> Reading:
        """Return what is read of the images with the edit as it is."""
        return self.scaled(one, jobs, 1.0)

    def looks(
        self, one: Edit, jobs: Sequence[int], after: Reading, steps: int | None = None
    ) -> list[Look]:
        """Return a look at each of these images after an edit, beside that with Δh = 0."""
        before = self.plain(one, jobs, steps)
        return compare(self.readers, one.wanted, one.texts, before, after)

    def read(self, images: Tensor) -> Reading:
        """Return what is seen in images (B, 3, H, W)."""
        return read(self.readers, images)

    def mean_shift(self, one: Edit) -> DirectionTable:
        """Return Δh_t^mean of an edit, over images that are drawn.

        Asyrp Sec. 5.3b   Δh_t^mean = 1/N Σ_i Δh_t^i
        """
        if one.name not in self.means:
            seeds = [mix(self.seed, "averaged", i) for i in range(self.averaged)]
            x = seed_noises(seeds, self.model.shape).to(self.model.device)
            self.means[one.name] = averaged(self.model, x, one.attribute, self.visited())
        return self.means[one.name]
