"""What is measured of one image model for Isometric Diffusion, as rows that can be resumed.

Four kinds of jobs: `sample_rows` draws images (Fréchet distance, separability), `pair_rows` takes
two places of an arc (PPL), `walk_rows` a whole arc (mRTL, LPIPS between frames), `spectrum_rows`
the encoder's Jacobian at noisy held-out images (MCN, VoR). Job i has the same noise in any model.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.bidiagonal import spectrum_ends
from latentgeo.core.conditioning import all_values, pooled
from latentgeo.core.ddpm import q_sample
from latentgeo.core.interpolate import sweep
from latentgeo.core.linearize import Map
from latentgeo.core.path_metrics import nudged, path_lengths, relative_lengths
from latentgeo.core.run.seeds import generator, mix
from latentgeo.core.schedule import batch_time
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.quality import Judges
from latentgeo.eval.metrics.separability import Read
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.transport.walks import image_steps
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted import (
    ImageSampling,
    denoise_images,
    denoiser_of,
    visited_times,
)
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.perceptual import Lpips

ROUNDED = 8  # pairs of PPL whose rounding is measured too
CHUNK = 32  # rows of a Jacobian at a time


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, how its images are drawn, and where they are compared."""

    model: ImageModel
    sampling: ImageSampling
    lpips: Lpips

    def noise(self, seed: int, kind: str, jobs: Sequence[int]) -> Tensor:
        """Return x_T (N, C, h, w) of jobs, in the model's dtype or float32 if that is wider."""
        seeds = [mix(seed, f"isometry {kind}", job) for job in jobs]
        noise = seed_noises(seeds, self.model.shape)
        wide = torch.promote_types(self.model.dtype, torch.float32)
        return noise.to(self.model.device, wide)

    @torch.no_grad()
    def images(self, x_T: Tensor) -> Tensor:
        """Return the images (N, 3, H, W) in [-1, 1] of x_T (N, C, h, w), in the model's dtype.

        Raises RuntimeError where one is not finite.
        """
        parts = x_T.split(self.sampling.batch)
        drawn = [denoise_images(self.model, part, self.sampling, ()) for part in parts]
        images = torch.cat([self.model.decode(x_0) for x_0 in drawn])
        if not images.isfinite().all():
            raise RuntimeError("an image is not finite")
        return images


def sample_rows(
    subject: Subject, cmd: EvalIsometry, jobs: Sequence[int], judges: Judges, read: Read | None
) -> list[Row]:
    """Return the features of an image per job and, with `read`, its attributes' probabilities."""
    images = subject.images(subject.noise(cmd.seed, "sample", jobs)).float().cpu()
    seen = judges.judge(images, None)
    found = {} if read is None else read(images)
    return [
        {
            "features": {name: packed(sets[i]) for name, sets in seen.sets.items()},
            "attributes": {name: shares[i].tolist() for name, shares in found.items()},
        }
        for i in range(len(jobs))
    ]


def pair_rows(subject: Subject, cmd: EvalIsometry, jobs: Sequence[int]) -> list[Row]:
    """Return the path length at one place of each pair's arc, and what rounding alone makes of it.

    Iso Sec. 4.1b   1/ε² d(x_w, x_{w+ε}), w uniform in [0, 1 - ε], d = LPIPS (AlexNet)
    """
    a, b = (subject.noise(cmd.seed, f"pair {end}", jobs) for end in "ab")
    w = torch.tensor([_place(cmd.seed, job) * (1 - cmd.ppl_epsilon) for job in jobs])

    @torch.no_grad()
    def distance(x: Tensor, y: Tensor) -> Tensor:
        return subject.lpips.distance(x, y)

    def lengths(images: Callable[[Tensor], Tensor], few: int) -> list[float]:
        some = a[:few], b[:few], w[:few]
        return path_lengths(images, distance, *some, cmd.ppl_epsilon, cmd.ppl_scale).tolist()

    def rounding(ends: Tensor) -> Tensor:
        first = ends.chunk(2)[0]
        draw = generator(cmd.seed, "isometry rounding", jobs[0], device=ends.device)
        return subject.images(torch.cat([first, nudged(first, subject.model.dtype, draw)]))

    rows: list[Row] = [{"length": length} for length in lengths(subject.images, len(jobs))]
    if few := sum(job < ROUNDED for job in jobs):  # they ascend
        for row, length in zip(rows, lengths(rounding, few), strict=False):
            row["rounding"] = length
    return rows


def _place(seed: int, job: int) -> float:
    """Return the place in [0, 1) at which a pair's arc is taken."""
    drawn = torch.rand((), generator=generator(seed, "isometry place", job), dtype=torch.float64)
    return drawn.item()


def walk_rows(subject: Subject, cmd: EvalIsometry, jobs: Sequence[int]) -> list[Row]:
    """Return RTL at every time of the sampling, and the steps between the images, of each arc.

    Iso Sec. 4.1c   RTL(t) = d_M(t) / d_2(t), of h_t along what the arc of x_T becomes at t
    Iso Fig. 5      that at every t of the sampling
    Iso Fig. 6      LPIPS between neighbours
    """
    lengths, images = _walked(subject, arcs(subject, cmd, jobs))
    steps = [image_steps(walk, subject.lpips) for walk in images.unbind(1)]
    visited = visited_times(subject.model, subject.sampling)[:-1]
    return [
        {"times": visited, "rtl": rtl.tolist(), **step}
        for rtl, step in zip(lengths.mT, steps, strict=True)
    ]


def arcs(subject: Subject, cmd: EvalIsometry, jobs: Sequence[int]) -> Tensor:
    """Return the noise (F, W, C, h, w) of each walk, F places of the arc between its two ends."""
    a, b = (subject.noise(cmd.seed, f"walk {end}", jobs) for end in "ab")
    return sweep(a, b, cmd.frames)


@torch.no_grad()
def _walked(subject: Subject, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return RTL (T, W) at the times visited and the images (F, W, 3, H, W) of arcs of noise."""
    model, denoiser, lengths = subject.model, denoiser_of(subject.model), list[Tensor]()

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        h = model.encode_h(x_t.to(model.dtype), t)[0]
        lengths.append(relative_lengths(h.unflatten(0, noise.shape[:2])))
        return denoiser(x_t, t)[0]

    visited = visited_times(model, subject.sampling)
    x_0 = ddim.sample(predict, model.schedule, noise.flatten(0, 1), visited)
    images = model.decode(x_0).unflatten(0, noise.shape[:2])
    return torch.stack(lengths), images


def spectrum_rows(
    subject: Subject, cmd: EvalIsometry, jobs: Sequence[int], x_0: Tensor
) -> list[Row]:
    """Return the singular values of the encoder at x_t of held-out x_0 (N, C, h, w), for every t.

    Iso Eq. 10, Iso Eq. 11   σ_i(J(x_t)), x_t ~ p(x_t|x_0), J = ∂h/∂x_t
    """
    rows: list[dict[str, dict[str, Row]]] = [{} for _ in jobs]
    for cell in cmd.cells:
        for t in cmd.times:
            noise = subject.noise(cmd.seed, f"noise at {t}", jobs)
            x_t = q_sample(subject.model.schedule, x_0, batch_time(t, x_0), noise)
            spectra = spectrum(encoder(subject.model, t, cell), x_t, cmd)
            for row, found in zip(rows, spectra, strict=True):
                row.setdefault(str(cell), {})[str(t)] = found
    return [{"spectra": row} for row in rows]


def encoder(model: ImageModel, t: int, cell: int) -> Map:
    """Return the map from x_t (B, C, h, w) to h at time t, averaged over cells."""
    return lambda x: pooled(model.encode_h(x.to(model.dtype), batch_time(t, x))[0], cell)


@torch.no_grad()
def spectrum(f: Map, x: Tensor, cmd: EvalIsometry) -> list[Row]:
    """Return each sample's singular values of f at x (B, C, h, w), or Ritz values of a large J."""
    sides = x[0].numel(), f(x[:1])[0].numel()
    if sides[0] * sides[1] <= cmd.exact * 1e6:
        return [{"values": one.tolist()} for one in all_values(f, x, CHUNK)]
    draw = generator(cmd.seed, "isometry lanczos", device=x.device)
    found = spectrum_ends(f, x, min(cmd.lanczos, *sides), draw)
    return [
        {"values": values.tolist(), "residual": residual.tolist()}
        for values, residual in zip(found.values, found.residual, strict=True)
    ]


def packed(vector: Tensor) -> str:
    """Return a vector (D,) as float32 in base64."""
    return base64.b64encode(vector.float().cpu().numpy().astype("<f4").tobytes()).decode("ascii")


def unpacked(rows: Sequence[Mapping[str, str]], name: str) -> Tensor:
    """Return vectors (N, D) that were packed under a name."""
    found = [np.frombuffer(base64.b64decode(row[name]), "<f4") for row in rows]
    return torch.from_numpy(np.stack(found).copy())
