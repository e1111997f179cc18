"""Quality of samples: Fréchet distance to held-out images, and caption adherence.

Every model draws the same held-out captions with the same seeds. Two references bound what the
numbers can mean: other real images (what a perfect model of this n scores), and the held-out
images passed through the model's own autoencoder (what its latents can score at best).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core.device import mix, progress
from latentgeo.eval.caption_adherence import Adherence, adherence
from latentgeo.eval.fid import DEEPEST, deep_features, feature_distance
from latentgeo.eval.heldout import Captioned
from latentgeo.eval.results import Result, result
from latentgeo.eval.statistics import Estimate, jackknife
from latentgeo.infer.pipeline import Sampling, generate, seed_noises
from latentgeo.models.avatars import parse_caption
from latentgeo.models.bundle import TextToImage
from latentgeo.models.classifier import AttributeClassifier, load_classifier
from latentgeo.models.perceptual import load_lpips

REAL, THROUGH_VAE = "real images", "real images through the VAE"
FD = f"FD (AlexNet, {DEEPEST}-d)"
ADHERENCE = "caption adherence"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the two judges saw in N images."""

    features: Tensor  # (N, DEEPEST)
    adherence: Adherence | None  # None where the captions are not those of the images


@dataclass(frozen=True)
class Judges:
    """The networks that look at images; both see float32 on the CPU."""

    features: Callable[[Tensor], Tensor]
    classifier: AttributeClassifier

    def judge(self, images: Tensor, captions: Sequence[str] | None, batch: int = 64) -> Judged:
        """Return features of images (N, 3, H, W) in [-1, 1] and how they follow their captions."""
        found = None
        if captions is not None:
            stated = [parse_caption(caption) for caption in captions]
            found = adherence(stated, self.classifier.read(images, batch))
        features = deep_features(self.features, images.split(batch))
        return Judged(features=features, adherence=found)


def load_judges(classifier: Path | None = None) -> Judges:
    """Return the embedded LPIPS backbone and the embedded or another attribute classifier."""
    return Judges(load_lpips().features, load_classifier(classifier))


def draw_samples(
    bundle: TextToImage, captions: Sequence[str], sampling: Sampling, seed: int, label: str
) -> Tensor:
    """Return an image per caption (N, 3, H, W); image i has the noise of (seed, i) in any model."""
    seeds = [mix(seed, "quality", i) for i in range(len(captions))]
    noise = seed_noises(seeds, bundle.latent_shape)
    images = []
    with progress(total=len(captions), label=label, unit="image") as bar:
        for batch in generate(bundle, noise, captions, sampling, seeds):
            images.append(batch)
            bar.update(len(batch))
    return torch.cat(images)


@torch.no_grad()
def references(
    bundle: TextToImage, judges: Judges, held: Captioned, other: Captioned, batch: int = 64
) -> tuple[Judged, dict[str, Judged]]:
    """Return what is judged against (held) and the references: other real images, the VAE's."""
    size = bundle.config.sampling.size
    images = held.images(size)
    passed = torch.cat([bundle.decode(bundle.encode(x)).float().cpu() for x in images.split(batch)])
    target = judges.judge(images, held.captions)
    bounds = {
        REAL: judges.judge(other.images(size), other.captions),
        THROUGH_VAE: judges.judge(passed, held.captions),
    }
    return target, bounds


def quality_results(
    target: Judged,
    judged: Mapping[str, Judged],
    seed: int,
    settings: Mapping[str, Mapping[str, object]],
    reference: str | None = None,
) -> list[Result]:
    """Return FD and adherence of everything judged, and differences to the reference model."""
    found: list[Result] = []
    for model, one in judged.items():
        about = settings.get(model, {})
        found.append(result("FID", FD, model, _distance(one, target), seed, about))
        if one.adherence is not None:
            found += _adherence_results(model, one.adherence, seed, about)
    base = judged.get(reference) if reference is not None else None
    if base is None:
        return found
    for model in [name for name in settings if name != reference]:
        one, about = judged[model], settings[model]
        change = _distance_change(one, base, target)
        found.append(result("FID", f"{FD}, minus {reference}", model, change, seed, about))
        if one.adherence is not None and base.adherence is not None:
            gain = one.adherence.minus(base.adherence)
            found.append(result("", f"{ADHERENCE}, minus {reference}", model, gain, seed, about))
    return found


def _adherence_results(
    model: str, found: Adherence, seed: int, settings: Mapping[str, object]
) -> list[Result]:
    parts = {f"{ADHERENCE}: {name}": value for name, value in found.per_attribute.items()}
    return [
        result("", metric, model, value, seed, settings)
        for metric, value in {ADHERENCE: found.overall, **parts}.items()
    ]


def _distance(one: Judged, target: Judged) -> Estimate:
    """Return the Fréchet distance to the target, its interval over the images judged."""

    def distance(kept: NDArray[np.int64]) -> float:
        return feature_distance(one.features[kept], target.features)

    return jackknife(distance, len(one.features))


def _distance_change(one: Judged, base: Judged, target: Judged) -> Estimate:
    """Return how much farther than the base this model is, image i of both left out together."""

    def change(kept: NDArray[np.int64]) -> float:
        mine = feature_distance(one.features[kept], target.features)
        return mine - feature_distance(base.features[kept], target.features)

    return jackknife(change, len(one.features))
