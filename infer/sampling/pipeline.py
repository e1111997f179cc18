"""Text to image: prompts and noise in, pictures out, the same for every batch size.

Notation   x_T (B, C, h, w) initial latents; w the guidance scale (Smooth Eq. 5), with a negative
           prompt in place of the null caption if one is given; η (eta) of DDIM Eq. 16.
Noise      An image's noise comes from a CPU generator seeded with the image's own seed, so that
           neither the batch nor the device changes it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.guidance import PredictWithContext, guided
from latentgeo.core.parameterization import Predict
from latentgeo.core.run.limits import check_size
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import Landing, Schedule, batch_time, times
from latentgeo.infer.sampling.first_step import watched
from latentgeo.models.bundles.image_config import ImageDefaults
from latentgeo.models.bundles.text_to_image import SamplingDefaults, TextToImage


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an image is sampled, whatever its prompt; checked when made."""

    steps: int  # network evaluations of DDIM
    guidance: float  # w; 1 is the conditional model alone
    eta: float = 0.0  # η, the share of fresh noise per step
    negative: str = ""  # prompt to steer away from; empty is the null caption
    batch: int = 16  # images at a time

    def __post_init__(self) -> None:
        """Refuse values that no sampler could use, each by its name."""
        check_sampling(self.steps, self.batch, self.eta)
        if not math.isfinite(self.guidance) or self.guidance < 0:
            raise ValueError(f"guidance must be finite and not negative, got {self.guidance}")

    def plain(self) -> dict[str, object]:
        """Return what decides the image, that is all but the batch, for records and hashes."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}


def check_sampling(steps: int, batch: int, eta: float) -> None:
    """Raise ValueError for values that no sampler could use, each by its name."""
    for name, value in (("steps", steps), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta}")


def sampling_of(
    bundle: TextToImage, steps: int | None, guidance: float | None, **more: object
) -> Sampling:
    """Return how to sample a model: as given, with the model's own defaults for what is None."""
    default = bundle.config.sampling
    return Sampling(
        steps=default.steps if steps is None else steps,
        guidance=default.guidance if guidance is None else guidance,
        **more,  # type: ignore[arg-type]
    )


def sampling_times(bundle: TextToImage, steps: int) -> tuple[int, ...]:
    """Return the paper's times t that a model is sampled at in so many steps."""
    how = bundle.config.sampling
    return times_of(bundle.schedule, steps, how, how.final)


def times_of(
    schedule: Schedule, steps: int, how: SamplingDefaults | ImageDefaults, final: Landing
) -> tuple[int, ...]:
    """Return the times of so many steps as a model is sampled.

    Leading spacing without an offset ends at t = 1, and has no step left that could land there: it
    would be from ᾱ_1 to ᾱ_1, and is left out.
    """
    if how.spacing == "leading" and how.offset == 0 and final == "first" and steps > 1:
        return times(schedule, steps, how.spacing, how.offset, "zero")[:-1]
    return times(schedule, steps, how.spacing, how.offset, final)


def latent_shape(bundle: TextToImage, size: int | None = None) -> tuple[int, int, int]:
    """Return (C, h, w) for images of `size` pixels a side, the model's own size if None.

    Raises ValueError for a size that is no multiple of `cell`.
    """
    if size is None:
        return bundle.latent_shape
    check_size(size, cell(bundle))
    factor = bundle.config.vae.factor
    return (bundle.config.vae.latent_channels, size // factor, size // factor)


def cell(bundle: TextToImage) -> int:
    """Return what the sides of an image must be multiples of, in pixels."""
    return bundle.config.vae.factor * 2 ** (len(bundle.config.unet.channels) - 1)


def image_noise(seed: int, shape: Sequence[int]) -> Tensor:
    """Return x_T (1, C, h, w), float32 on the CPU, that belongs to a seed and to nothing else."""
    return torch.randn(1, *shape, generator=generator(seed))


def seed_noises(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return x_T (B, C, h, w) of B seeds, float32 on the CPU."""
    return torch.cat([image_noise(seed, shape) for seed in seeds])


@torch.no_grad()
def generate(
    bundle: TextToImage,
    x_T: Tensor,
    prompts: Sequence[str],
    sampling: Sampling,
    seeds: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Yield images (≤ batch, 3, H, W) in [-1, 1], float32 on the CPU, of x_T (N, C, h, w).

    `seeds` (N,) is needed where η > 0: each image draws the noise of its steps from its own seed.
    Raises `RuntimeError` where an image is not finite, `ValueError` unless there is one prompt and,
    where needed, one seed for each.
    """
    _check(x_T, prompts, sampling, seeds)
    for start in range(0, len(prompts), sampling.batch):
        part = slice(start, start + sampling.batch)
        z = denoise(bundle, x_T[part], prompts[part], sampling, seeds[part] if seeds else None)
        yield decoded(bundle, z, start)


def decoded(bundle: TextToImage, z: Tensor, start: int = 0) -> Tensor:
    """Return the images (B, 3, H, W) in [-1, 1], float32 on the CPU, of latents z_0 (B, C, h, w).

    Raises `RuntimeError` where an image, the first being number `start`, is not finite.
    """
    images = bundle.decode(z).float().cpu()
    if not images.isfinite().all():
        raise RuntimeError(
            f"images {start} to {start + len(images) - 1} are not finite; --dtype fp32 may help"
        )
    return images.clamp(-1, 1)


@torch.no_grad()
def denoise(
    bundle: TextToImage,
    x_T: Tensor,
    prompts: Sequence[str],
    sampling: Sampling,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Return the latents z_0 (B, C, h, w) that one batch of noise x_T (B, C, h, w) denoises to.

    They stay in x_T's dtype, float32 as a rule, also where the network computes in bfloat16: its
    8 bits would drown a small step's change.
    """
    predict = watched(guided_predict(bundle, prompts, sampling), bundle.schedule)
    visited = sampling_times(bundle, sampling.steps)
    x = x_T.to(bundle.device)
    if sampling.eta == 0:
        return ddim.sample(predict, bundle.schedule, x, visited)
    return stochastic(predict, bundle.schedule, x, visited, sampling.eta, seeds or ())


def guided_predict(bundle: TextToImage, prompts: Sequence[str], sampling: Sampling) -> Predict:
    """Return predict(x_t, t) -> ε (B, C, h, w), guided, of B prompts; equal ones are encoded once.

    Smooth Eq. 5, with the negative prompt as ∅
    """
    distinct = list(dict.fromkeys([*prompts, sampling.negative]))
    encoded = bundle.encode_text(distinct)
    context = encoded[[distinct.index(prompt) for prompt in prompts]]  # (B, L, D)
    null = encoded[distinct.index(sampling.negative)][None]  # (1, L, D)
    return contextual_predict(bundle, context, null, sampling)


def contextual_predict(
    bundle: TextToImage, context: Tensor, null: Tensor, sampling: Sampling
) -> Predict:
    """Return the guided predict(x_t, t) -> ε for contexts (B, L, D), with `null` (1, L, D) as ∅."""
    return guided(network(bundle), context, null, sampling.guidance)


def network(bundle: TextToImage) -> PredictWithContext:
    """Return predict(x_t, t, context) -> ε, in x_t's dtype whatever the network computes in."""

    def predict(x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
        eps = bundle.predict(context.to(bundle.dtype))
        return eps(x_t.to(bundle.dtype), t).to(x_t.dtype)

    return predict


def stochastic(
    predict: Predict,
    schedule: Schedule,
    x: Tensor,
    visited: tuple[int, ...],
    eta: float,
    seeds: Sequence[int],
) -> Tensor:
    """Sample x (B, ...) with η > 0, the noise of each image from a stream of its own seed."""
    draw = seeded_noise(seeds)
    for t, t_prev in pairwise(visited):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        x = ddim.step(schedule, x, predict(x, now), now, prev, eta, draw(x))
    return x


def seeded_noise(seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Return a function that draws noise like x (B, ...), each image's from its own seed."""
    draws = [generator(seed, "step noise") for seed in seeds]
    return lambda x: torch.stack([torch.randn(x.shape[1:], generator=d) for d in draws]).to(x)


def _check(
    x_T: Tensor, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int] | None
) -> None:
    """Raise ValueError unless each image has a latent, a prompt and, where needed, a seed."""
    if not len(prompts) or len(x_T) != len(prompts):
        raise ValueError(f"prompts: got {len(prompts)} for {len(x_T)} latents, wanted one each")
    if sampling.eta > 0 and (seeds is None or len(seeds) != len(prompts)):
        raise ValueError(f"seeds: eta {sampling.eta} draws noise per image, wanted a seed for each")
