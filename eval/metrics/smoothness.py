"""ISTD, the interpolation standard deviation: how evenly images change along a latent walk.

Paper: Smooth Diffusion, arXiv 2312.04410, Sec. 4.1 and supplement Sec. A.3. Per prompt, 11 images
from noises slerped between ε^a and ε^b at η = 0, 0.1, …, 1; the L2 distances d_1 … d_10 between
neighbours; their standard deviation; the mean of that over prompts. The paper leaves two choices
open: pixels here are in [0, 1] (the [0, 255] figure is 255 times it), and the standard deviation
divides by 10, not 9 (ddof = 0).

ISTD alone is no evidence: a model whose images hardly change has a low one. So it comes with the
mean distance, with their ratio (which a mere loss of contrast or variety does not improve), and
with the distance between the two ends. Prompts and noises are the same for every model.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core.interpolate import sweep
from latentgeo.core.run.seeds import generator
from latentgeo.eval.runs.jobs import measured_rows
from latentgeo.eval.runs.results import RATIO, Result, result
from latentgeo.eval.runs.rows import Row, by_prompt
from latentgeo.eval.runs.statistics import (
    Estimate,
    function_of_means,
    mean_interval,
    ratio_interval,
)
from latentgeo.infer.sampling.pipeline import Sampling, generate
from latentgeo.infer.walks.walk import adjacent_distances
from latentgeo.models.bundles.text_to_image import TextToImage

FRAMES = 11
DDOF = 0


@dataclass(frozen=True, kw_only=True)
class Walks:
    """What was measured on N walks of one model, in [0, 1] pixels."""

    distances: NDArray[np.float64]  # (N, F - 1) between neighbours
    span: NDArray[np.float64]  # (N,) between the two ends
    seed: int
    settings: Mapping[str, object]


def istd(distances: Tensor) -> Tensor:
    """Return the ISTD of distances (N, F - 1) between neighbours: a scalar, in their units.

    SmoothS Sec. A.3   ISTD = mean over prompts of std(d_1, …, d_{F-1}), divided by F - 1 inside
    """
    return deviations(distances).mean()


def deviations(distances: Tensor) -> Tensor:
    """Return the standard deviation (N,) of each walk's distances (N, F - 1).

    Raises ValueError for another shape, and for F < 3.
    """
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ValueError(f"distances: got {tuple(distances.shape)}, wanted (N, F - 1), F >= 3")
    return distances.double().std(dim=1, correction=DDOF)


def noise_pair(prompt: int, shape: Sequence[int], seed: int) -> Tensor:
    """Return ε^a and ε^b (2, C, h, w) of prompt number `prompt`, the same for every model.

    Smooth Sec. 4.1c   a pair of noises for each prompt
    """
    return torch.randn(2, *shape, generator=generator(seed, "istd", prompt))


def prompt_walks(prompts: Sequence[int], shape: Sequence[int], seed: int, frames: int) -> Tensor:
    """Return the latents (N, F, C, h, w) of N prompts' walks.

    SmoothS Eq. 3   ε^η = slerp(ε^a, ε^b, η), η = 0, 0.1, …, 1 (F = 11)
    """
    pairs = torch.stack([noise_pair(prompt, shape, seed) for prompt in prompts])  # (N, 2, C, h, w)
    return sweep(pairs[:, 0], pairs[:, 1], frames).transpose(0, 1)


def measure(
    bundle: TextToImage,
    captions: Sequence[str],
    sampling: Sampling,
    folder: Path,
    identity: Mapping[str, object],
    seed: int = 0,
    frames: int = FRAMES,
) -> Walks:
    """Measure the walks of all captions, continuing from the rows already in `folder`.

    As many prompts at a time as fill a batch of images; ranks share them out (`measured_rows`).
    `identity` names the model and its weights in the settings that rows are kept under.
    """
    settings = walk_settings(captions, sampling, identity, seed, frames)
    rows = measured_rows(
        folder,
        settings,
        range(len(captions)),
        by_prompt,
        max(1, sampling.batch // frames),
        partial(_rows, bundle, captions, sampling, seed, frames),
        f"ISTD {identity.get('model', '')}",
        "prompt",
    )
    return walks_of(rows, seed, settings)


def walk_settings(
    captions: Sequence[str],
    sampling: Sampling,
    identity: Mapping[str, object],
    seed: int,
    frames: int,
) -> dict[str, object]:
    """Return everything that decides the rows; captions by their SHA-256."""
    text = json.dumps(list(captions)).encode()
    return {
        **identity,
        **sampling.plain(),
        "frames": frames,
        "seed": seed,
        "prompts": len(captions),
        "captions": hashlib.sha256(text).hexdigest()[:16],
        "pixels": "[0,1]",
        "ddof": DDOF,
    }


def walks_of(rows: Sequence[Row], seed: int, settings: Mapping[str, object]) -> Walks:
    """Return rows as arrays."""
    return Walks(
        distances=np.array([row["distances"] for row in rows], dtype=np.float64),
        span=np.array([row["span"] for row in rows], dtype=np.float64),
        seed=seed,
        settings=settings,
    )


def _rows(
    bundle: TextToImage,
    captions: Sequence[str],
    sampling: Sampling,
    seed: int,
    frames: int,
    prompts: Sequence[int],
) -> list[Row]:
    """Return a row for each of these prompts."""
    noise = prompt_walks(prompts, bundle.latent_shape, seed, frames)
    texts = [captions[i] for i in prompts for _ in range(frames)]
    images = torch.cat(list(generate(bundle, noise.flatten(0, 1), texts, sampling)))
    walks = images.unflatten(0, (len(prompts), frames))  # (N, F, 3, H, W)
    distances = adjacent_distances(walks)
    spans = adjacent_distances(walks[:, [0, -1]])[:, 0]
    return [
        {"prompt": i, "caption": captions[i], "distances": d, "span": s}
        for i, d, s in zip(prompts, distances.tolist(), spans.tolist(), strict=True)
    ]


def smoothness_results(walks: Mapping[str, Walks]) -> list[Result]:
    """Return the results of every model, and those of all but the first as ratios to the first."""
    found: list[Result] = []
    reference = next(iter(walks.values()), None)
    for model, one in walks.items():
        found += _own_results(model, one)
        if reference is not None and one is not reference:
            found += _ratio_results(model, one, reference)
    return found


def _own_results(model: str, walks: Walks) -> list[Result]:
    """ISTD at both scales, the mean distance, their ratio, and the distance of the ends."""
    std, mean = _columns(walks)
    estimates = {
        "ISTD, pixels [0,1]": mean_interval(std),
        "ISTD, pixels [0,255]": mean_interval(255 * std),
        "mean adjacent distance": mean_interval(mean),
        "ISTD / mean adjacent distance": ratio_interval(std, mean),
        "distance between the ends": mean_interval(walks.span),
    }
    return [_result(metric, model, walks, value) for metric, value in estimates.items()]


def _ratio_results(model: str, walks: Walks, reference: Walks) -> list[Result]:
    """How this model's numbers relate to the reference's on the same prompts and noises."""
    (std, mean), (std_ref, mean_ref) = _columns(walks), _columns(reference)
    versus = f"{RATIO}{reference.settings.get('model', 'the first model')}"
    relative = function_of_means(lambda a, b, c, d: (a / b) / (c / d), std, mean, std_ref, mean_ref)
    estimates = {
        f"ISTD{versus}": ratio_interval(std, std_ref),
        f"mean adjacent distance{versus}": ratio_interval(mean, mean_ref),
        f"ISTD / mean adjacent distance{versus}": relative,
    }
    return [_result(metric, model, walks, value) for metric, value in estimates.items()]


def _columns(walks: Walks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each walk's standard deviation and mean (N,)."""
    return walks.distances.std(axis=1, ddof=DDOF), walks.distances.mean(axis=1)


def _result(metric: str, model: str, walks: Walks, estimate: Estimate) -> Result:
    return result("Smooth", metric, model, estimate, walks.seed, walks.settings)
