"""Images from a model that takes no text: noise in, pictures out, the same for every batch size.

Notation   x_T (B, C, h, w) initial noise; η (eta) of DDIM Eq. 16; v the place of a learned variance
           (IDDPM Eq. 15); labels (B,) classes
Noise      as in `pipeline.py`: an image's belongs to its seed
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

import torch
from torch import Tensor

from latentgeo.core import ddim, ddpm, learned_variance
from latentgeo.core.parameterization import clip_eps, eps_from
from latentgeo.core.run.limits import check_size
from latentgeo.core.schedule import batch_time, respaced
from latentgeo.infer.sampling.pipeline import check_sampling, seeded_noise, stochastic, times_of
from latentgeo.infer.sampling.settings import Sampler
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.unet import UNetConfig

Draw = Callable[[Tensor], Tensor]  # x (B, ...) -> noise like it
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (x_t, t) -> (ε, v)


@dataclass(frozen=True, kw_only=True)
class ImageSampling:
    """How images are sampled; checked when made."""

    steps: int  # network evaluations
    sampler: Sampler = "ddim"
    eta: float = 0.0  # η of DDIM, the share of fresh noise per step
    batch: int = 16  # images at a time

    def __post_init__(self) -> None:
        """Refuse values that no sampler could use, each by its name."""
        check_sampling(self.steps, self.batch, self.eta)
        if self.sampler not in get_args(Sampler):
            wanted = ", ".join(get_args(Sampler))
            raise ValueError(f"sampler must be one of {wanted}, got {self.sampler!r}")
        if self.sampler == "ddpm" and (self.eta or self.steps < 2):
            raise ValueError(
                f"steps and eta: got {self.steps} and {self.eta} for the sampler ddpm, which takes "
                "2 steps or more and eta 0"
            )

    def plain(self) -> dict[str, object]:
        """Return what decides the image, that is all but the batch."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}


def image_shape(model: ImageModel, size: int | None = None) -> tuple[int, int, int]:
    """Return (C, h, w) of x_T for images of `size` pixels a side, the model's own size if None.

    Raises ValueError for a size that the model's networks cannot halve as often as they do.
    """
    if size is None:
        return model.shape
    unet, autoencoder = model.config.unet, model.config.autoencoder
    factor = autoencoder.factor if autoencoder else 1
    cell = factor * (2 ** (len(unet.channels) - 1) if isinstance(unet, UNetConfig) else unet.factor)
    check_size(size, cell)
    return (unet.in_channels, size // factor, size // factor)


@torch.no_grad()
def generate_images(
    model: ImageModel,
    x_T: Tensor,
    sampling: ImageSampling,
    seeds: Sequence[int],
    labels: Tensor | None = None,
    visited: tuple[int, ...] | None = None,
) -> Iterator[Tensor]:
    """Yield images (≤ batch, 3, H, W) in [-1, 1], float32 on the CPU, of x_T (N, C, h, w).

    Noise of an image's steps is of its own seed. With the times `visited`, x is at the first of
    them. Raises RuntimeError where an image is not finite.
    """
    for start in range(0, len(x_T), sampling.batch):
        part = slice(start, start + sampling.batch)
        given = None if labels is None else labels[part].to(model.device)
        x = x_T[part].to(model.device)
        x_0 = denoise_images(model, x, sampling, seeds[part], given, visited)
        yield images_of(model, x_0, start)


@torch.no_grad()
def images_of(model: ImageModel, x_0: Tensor, start: int = 0) -> Tensor:
    """Return images (B, 3, H, W) in [-1, 1], float32 on the CPU, of x_0 (B, C, h, w).

    Raises RuntimeError where one is not finite; `start` is the number of the first.
    """
    images = model.decode(x_0).float().cpu()
    if not images.isfinite().all():
        raise RuntimeError(
            f"images {start} to {start + len(images) - 1} are not finite; --dtype fp32 may help"
        )
    return images


def visited_times(model: ImageModel, sampling: ImageSampling) -> tuple[int, ...]:
    """Return the times that sampling visits from T on, in the model's own spacing."""
    how = model.config.sampling
    final = "zero" if sampling.sampler == "ddpm" else how.final
    return times_of(model.schedule, sampling.steps, how, final)


@torch.no_grad()
def denoise_images(
    model: ImageModel,
    x: Tensor,
    sampling: ImageSampling,
    seeds: Sequence[int],
    labels: Tensor | None = None,
    visited: tuple[int, ...] | None = None,
) -> Tensor:
    """Return what one batch of noise x_T = x (B, C, h, w) denoises to, in its dtype.

    With the times `visited`, x is at the first of them and what is returned at the last.
    """
    denoiser = denoiser_of(model, labels)
    visited = visited or visited_times(model, sampling)
    if sampling.sampler == "ddpm":
        return ancestral(model, denoiser, x, visited, seeded_noise(seeds))

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return denoiser(x_t, t)[0]

    if sampling.eta == 0:
        return ddim.sample(predict, model.schedule, x, visited)
    return stochastic(predict, model.schedule, x, visited, sampling.eta, seeds)


def denoiser_of(model: ImageModel, labels: Tensor | None = None) -> Denoiser:
    """Return (ε, v) as a function of (x_t, paper time t), in x_t's dtype; v is 0 if not learned.

    x_t, ε and v are (B, C, h, w), t and `labels` (B,). ε is such that x̂_0 lies in [-1, 1] if the
    model is sampled so.
    """
    raw = model.raw(labels)

    def denoiser(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        output = raw(x_t.to(model.dtype), t).to(x_t.dtype)
        v = torch.zeros_like(x_t)
        if model.config.learned_variance:
            output, v = learned_variance.split(output)
        return eps_of(model, x_t, output, t), v

    return denoiser


def eps_of(model: ImageModel, x_t: Tensor, output: Tensor, t: Tensor) -> Tensor:
    """Return the ε (B, C, h, w) that the model is sampled with, from what its network predicts."""
    eps = eps_from(model.schedule, x_t, output.to(x_t.dtype), t, model.config.prediction)
    return as_sampled(model, x_t, eps, t)


def as_sampled(model: ImageModel, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return an ε (B, C, h, w) with x̂_0 in [-1, 1], if the model is sampled so."""
    return clip_eps(model.schedule, x_t, eps, t, 1.0) if model.config.sampling.clip else eps


def ancestral(
    model: ImageModel, denoiser: Denoiser, x: Tensor, visited: tuple[int, ...], draw: Draw
) -> Tensor:
    """Take x (B, ...) down to t = 0 by draws of the reverse process at the times that are visited.

    DDPM Alg. 2 and IDDPM Eq. 15, on the schedule of IDDPM Eq. 19. In float64 between the network's
    evaluations, where there is any: of small t, 1 - ᾱ_t has three digits in float32, and β_t has
    seven.
    """
    schedule, variance = respaced(model.schedule, visited), model.config.sampling.variance
    kind, x = x.dtype, x.to(torch.float32 if x.device.type == "mps" else torch.float64)
    for i, t in zip(range(schedule.T, 0, -1), visited, strict=False):  # the last is where it lands
        step, (eps, v) = batch_time(i, x), denoiser(x, batch_time(t, x))
        if variance == "learned":
            x = learned_variance.ancestral_step(schedule, x, eps, v, step, draw(x))
        else:
            larger = variance == "large"
            follow = ddpm.ancestral_step_beta if larger else ddpm.ancestral_step
            x = follow(schedule, x, eps, step, draw(x))
    return x.to(kind)
