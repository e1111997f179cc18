"""One image model measured: which jobs there are, where their rows are, what decides them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch

from latentgeo.core.run.cli import version
from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.core.run.files import sha256
from latentgeo.eval.isometric.results import Rows
from latentgeo.eval.isometric.rows import (
    ROUNDED,
    Subject,
    pair_rows,
    sample_rows,
    spectrum_rows,
    unpacked,
    walk_rows,
)
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.heldout import Captioned
from latentgeo.eval.metrics.quality import FD, Judged, Judges
from latentgeo.eval.metrics.separability import KERNELS, Read, Tables, tables
from latentgeo.eval.runs.jobs import Measure, measured_jobs
from latentgeo.eval.runs.rows import Row
from latentgeo.infer.sampling.loading import load_image, loaded_hash
from latentgeo.infer.sampling.unprompted import ImageSampling
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.perceptual import load_lpips

# in the identity of a model, or without effect on a number
ELSEWHERE = {"models", "out", "batch", "device", "dtype", "metrics"}


def loaded(cmd: EvalIsometry, spec: str) -> tuple[Subject, dict[str, object]]:
    """Return a model with how it is sampled, and what says which model it is.

    Raises ValueError for a model of classes, and for a time beyond its T.
    """
    device, dtype = pick_device(cmd.device), pick_dtype(cmd.dtype)
    model = load_image(spec, cmd.device, cmd.dtype)
    if model.config.classes is not None:
        raise ValueError(f"models: got {spec}, which has classes, wanted models without")
    if over := [t for t in cmd.times if t > model.schedule.T]:
        raise ValueError(f"times: got {over[0]}, wanted at most T = {model.schedule.T} of {spec}")
    identity: dict[str, object] = {
        "model": spec,
        "weights": loaded_hash(model),
        "dtype": cmd.dtype,
        "version": version("latentgeo"),
    }
    sampling = ImageSampling(steps=cmd.steps, batch=cmd.batch)
    return Subject(model=model, sampling=sampling, lpips=load_lpips(device).to(dtype)), identity


def asked(cmd: EvalIsometry, *names: str) -> dict[str, object]:
    """Return settings of the command that decide numbers: those named, or all."""
    values = {name: value for name, value in asdict(cmd).items() if name not in ELSEWHERE}
    chosen = {name: values[name] for name in names} if names else values
    plain = {name: str(x) if isinstance(x, Path) else x for name, x in chosen.items()}
    return {**plain, "sampler": "ddim", "eta": 0.0}


@dataclass(frozen=True)
class Measuring:
    """A model on the bench: every method goes on from the rows that are there."""

    cmd: EvalIsometry
    subject: Subject
    identity: Mapping[str, object]
    held: Captioned
    judges: Judges
    read: Read | None  # attributes, where separability is measured

    def rows(self) -> Rows:
        """Return what was asked for of paths, walks, spectra and separability."""
        wanted = set(self.cmd.metrics)
        return Rows(
            pairs=self.pairs() if "ppl" in wanted else (),
            walks=self.walks() if "mrtl" in wanted else (),
            spectra=self.spectra() if wanted & {"mcn", "vor"} else (),
            tables=self.separated() if "ls" in wanted else {},
        )

    def pairs(self) -> list[Row]:
        """Return a row per pair of noises: PPL, of images drawn in steps of their own.

        Iso Sec. 4.1d   100 steps for PPL, 20 for all else
        """
        steps = self.cmd.ppl_steps or self.cmd.steps
        sampling = replace(self.subject.sampling, steps=steps)
        measure = partial(pair_rows, replace(self.subject, sampling=sampling), self.cmd)
        about = {**asked(self.cmd, "seed", "ppl_epsilon", "ppl_scale"), "steps": steps}
        return self._jobs("ppl", self.cmd.ppl_pairs, ROUNDED, measure, about)

    def walks(self) -> list[Row]:
        """Return a row per walk: RTL, LPIPS between neighbours."""
        measure = partial(walk_rows, self.subject, self.cmd)
        about = asked(self.cmd, "seed", "steps", "frames")
        group = max(1, self.cmd.batch // self.cmd.frames)
        return self._jobs("mrtl", self.cmd.walks, group, measure, about)

    def spectra(self) -> list[Row]:
        """Return a row per held-out image: singular values at its noisy versions."""
        cmd, model = self.cmd, self.subject.model
        some = self.held.chosen(cmd.jacobians, cmd.seed)

        def measure(jobs: Sequence[int]) -> list[Row]:
            x = some.at(jobs).images(model.config.sampling.size)
            with torch.no_grad():
                x_0 = model.encode(x)
            return spectrum_rows(self.subject, cmd, jobs, x_0)

        names = ("seed", "times", "cells", "lanczos", "exact")
        about = {**asked(cmd, *names), "data": self.held.origin.digest()}
        group = max(1, cmd.batch // 4)  # an image takes as many steps as several that are drawn
        return self._jobs("spectra", cmd.jacobians, group, measure, about)

    @cached_property
    def samples(self) -> list[Row]:
        """A row per image drawn: its features and, for separability, its attributes."""
        about = {**asked(self.cmd, "seed", "steps"), "judges": self._judges()}
        kind = "samples" if self.read is None else "samples-read"
        return self._jobs(kind, self.cmd.n_samples, self.cmd.batch, self._sample_rows, about)

    def judged(self) -> Judged:
        """Return the features of the images drawn."""
        rows = [dict(row["features"]) for row in self.samples]  # type: ignore[call-overload]
        sets = {name: unpacked(rows, name) for name in rows[0]}
        return Judged(features=sets.pop(FD), adherence=None, others=sets)

    def target(self) -> Judged:
        """Return the features of as many held-out images, or of all if there are fewer."""
        count = min(self.cmd.n_samples, len(self.held))
        size = self.subject.model.config.sampling.size
        return self.judges.judge(self.held.chosen(count, self.cmd.seed).images(size), None)

    def separated(self) -> dict[str, Tables]:
        """Return what support vector machines on x_T make of the attributes, by kernel."""
        rows, seed = self.samples, self.cmd.seed
        latents = self.subject.noise(seed, "sample", range(len(rows)))
        read = [row["attributes"] for row in rows]
        names = list(read[0])  # type: ignore[call-overload]
        shares = {name: torch.tensor([one[name] for one in read]) for name in names}  # type: ignore[index]
        return {kernel: tables(latents, shares, kernel, seed) for kernel in KERNELS}

    def _sample_rows(self, jobs: Sequence[int]) -> list[Row]:
        return sample_rows(self.subject, self.cmd, jobs, self.judges, self.read)

    def _judges(self) -> dict[str, str]:
        """Return what looks at the images, files by their hash."""
        files = {"classifier": self.cmd.classifier, "inception": self.cmd.inception}
        found = {name: sha256(path)[:16] for name, path in files.items() if path is not None}
        if self.read is None:
            return found
        named = f"{self.read.__module__}.{getattr(self.read, '__qualname__', '')}"
        return {**found, "read": named}

    def _jobs(
        self, kind: str, count: int, group: int, measure: Measure, about: Mapping[str, object]
    ) -> list[Row]:
        model, weights = str(self.identity["model"]), str(self.identity["weights"])
        folder = self.cmd.out / "rows" / kind / f"{short_names([model])[0]}-{weights[:8]}"
        settings = {**self.identity, **about}
        return measured_jobs(folder, settings, count, group, measure, f"{kind} {model}")
