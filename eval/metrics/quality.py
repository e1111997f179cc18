"""Quality of samples: distances to held-out images, caption adherence, CLIP score.

Every model draws the same held-out captions with the same seeds. Two references bound what the
numbers can mean: other real images (what a perfect model of this n scores), and the held-out
images passed through the model's own autoencoder (what its latents can score at best). FID and
CLIP score take networks that are not embedded, and are measured where their files are given.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import mix
from latentgeo.eval.metrics.caption_adherence import Adherence, adherence
from latentgeo.eval.metrics.clip_score import ClipJudge, clip_judge
from latentgeo.eval.metrics.fid import DEEPEST, deep_features, feature_distance
from latentgeo.eval.metrics.heldout import Captioned
from latentgeo.eval.metrics.inception_fid import FID, inception_features
from latentgeo.eval.metrics.kid import kernel_distance
from latentgeo.eval.runs.results import Result, result
from latentgeo.eval.runs.statistics import Estimate, exponential, jackknife, mean_interval
from latentgeo.infer.sampling.pipeline import Sampling, generate, seed_noises
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.encoders import load_clip, load_inception
from latentgeo.models.inception import Inception
from latentgeo.models.judges.captions import parse_caption
from latentgeo.models.judges.classifier import AttributeClassifier, load_classifier
from latentgeo.models.perceptual import load_lpips

REAL, THROUGH_VAE = "real images", "real images through the VAE"
FD, KD = f"FD (AlexNet, {DEEPEST}-d)", f"KD (AlexNet, {DEEPEST}-d)"
KERNEL = {FD: KD, FID: "KID"}  # what the kernel distance of the same features is called
Distance = Callable[[Tensor, Tensor], float]
ADHERENCE = "caption adherence"
UNSTATED = "no caption states an attribute of the avatars (their set is --data avatars)"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the judges saw in N images."""

    features: Tensor  # (N, DEEPEST)
    adherence: Adherence | None  # None where captions are not the images', or state nothing
    others: Mapping[str, Tensor] = field(default_factory=dict)  # features (N, D), by their distance
    scores: Mapping[str, Tensor] = field(default_factory=dict)  # (N,), by the metric's name

    @property
    def sets(self) -> dict[str, Tensor]:
        """All features (N, D), by the name of their Fréchet distance."""
        return {FD: self.features, **self.others}


@dataclass(frozen=True)
class Judges:
    """The networks that look at images; those that are embedded see float32 on the CPU."""

    features: Callable[[Tensor], Tensor]
    classifier: AttributeClassifier
    inception: Inception | None = None
    clip: ClipJudge | None = None

    def judge(self, images: Tensor, captions: Sequence[str] | None, batch: int = 64) -> Judged:
        """Return features of images (N, 3, H, W) in [-1, 1] and how they follow their captions."""
        found, scores, others = None, {}, {}
        if captions is not None:
            stated = [parse_caption(caption) for caption in captions]
            if any(stated):
                found = adherence(stated, self.classifier.read(images, batch))
            else:
                warnings.warn(f"{ADHERENCE}: not measured, {UNSTATED}", stacklevel=1)
            if self.clip is not None:
                scores[self.clip.metric] = self.clip.scores(images, captions, batch)
        if self.inception is not None:
            others[FID] = inception_features(self.inception, images, batch)
        features = deep_features(self.features, images.split(batch))
        return Judged(features=features, adherence=found, others=others, scores=scores)


def load_judges(
    classifier: Path | None = None,
    clip: Path | None = None,
    inception: Path | None = None,
    device: torch.device | str = "cpu",
) -> Judges:
    """Return the embedded judges, and those whose files are given, on a device.

    The attribute classifier may be another than the embedded one.
    """
    return Judges(
        load_lpips().features,
        load_classifier(classifier),
        None if inception is None else load_inception(inception, device),
        None if clip is None else clip_judge(load_clip(clip, device)),
    )


def draw_samples(
    bundle: TextToImage,
    captions: Sequence[str],
    sampling: Sampling,
    seed: int,
    label: str,
    numbers: Sequence[int] | None = None,
) -> Tensor:
    """Return an image per caption (N, 3, H, W); image i has the noise of (seed, i) in any model.

    `numbers` (N,) are the i of the captions, 0 … N - 1 if None.
    """
    places = range(len(captions)) if numbers is None else numbers
    seeds = [mix(seed, "quality", i) for i in places]
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
    """Return distances, scores and adherence of all judged, and differences to the reference."""
    found: list[Result] = []
    for model, one in judged.items():
        about = settings.get(model, {})
        for name, features in one.sets.items():
            for paper, metric, of in distances(name):
                distance = _distance(of, features, target.sets[name])
                found.append(result(paper, metric, model, distance, seed, about))
        for metric, scores in one.scores.items():
            mean = mean_interval(scores.numpy())
            found.append(result("CLIPScore", metric, model, mean, seed, about))
        if one.adherence is not None:
            found += _adherence_results(model, one.adherence, seed, about)
    base = judged.get(reference) if reference is not None else None
    if base is None:
        return found
    for model in [name for name in settings if name != reference]:
        for paper, metric, change in _changes(judged[model], base, target):
            name = f"{metric}, minus {reference}"
            found.append(result(paper, name, model, change, seed, settings[model]))
    return found


def distances(name: str) -> tuple[tuple[str, str, Distance], ...]:
    """Return paper, metric and function of both distances of the features of a name."""
    return ("FID", name, feature_distance), ("KID", KERNEL[name], kernel_distance)


def distance_ratio(features: Tensor, base: Tensor, target: Tensor) -> Estimate:
    """Return the Fréchet distance of features (N, D) over the base's, image i of both left out.

    By its logarithm, whose interval the jackknife gives.
    """

    def log_ratio(kept: NDArray[np.int64]) -> float:
        mine, theirs = (feature_distance(one[kept], target) for one in (features, base))
        return float(np.log(mine / theirs))

    return exponential(jackknife(log_ratio, len(features)))


def _changes(one: Judged, base: Judged, target: Judged) -> Iterator[tuple[str, str, Estimate]]:
    """Yield paper, metric and difference of a model to the reference, on the same captions."""
    for name, features in one.sets.items():
        for paper, metric, of in distances(name):
            change = _distance_change(of, features, base.sets[name], target.sets[name])
            yield paper, metric, change
    for metric, scores in one.scores.items():
        yield "CLIPScore", metric, mean_interval((scores - base.scores[metric]).numpy())
    if one.adherence is not None and base.adherence is not None:
        yield "", ADHERENCE, one.adherence.minus(base.adherence)


def _adherence_results(
    model: str, found: Adherence, seed: int, settings: Mapping[str, object]
) -> list[Result]:
    parts = {f"{ADHERENCE}: {name}": value for name, value in found.per_attribute.items()}
    return [
        result("", metric, model, value, seed, settings)
        for metric, value in {ADHERENCE: found.overall, **parts}.items()
    ]


def _distance(of: Distance, features: Tensor, target: Tensor) -> Estimate:
    """Return a distance to the target, its interval over the images judged."""

    def distance(kept: NDArray[np.int64]) -> float:
        return of(features[kept], _facing(of, target, kept))

    return jackknife(distance, len(features))


def _distance_change(of: Distance, features: Tensor, base: Tensor, target: Tensor) -> Estimate:
    """Return how much farther than the base a model is, image i of both left out together."""

    def change(kept: NDArray[np.int64]) -> float:
        facing = _facing(of, target, kept)
        return of(features[kept], facing) - of(base[kept], facing)

    return jackknife(change, len(features))


def _facing(of: Distance, target: Tensor, kept: NDArray[np.int64]) -> Tensor:
    """Return the target's features: of pairs, for a kernel distance, or all, for a Fréchet one."""
    return target[kept] if of is kernel_distance else target
