"""What became of edited images, beside the same images without the edit.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5.2, Tables 4 and 5. An edit's other half is the
reconstruction by the same process with Δh = 0, so that what inversion loses is nobody's fault.

Look        of one image and one edit, as rows on disk have it: had, has (whether what is wanted is
            read before and after), kept of others (attributes not asked for that are read as
            before, where they can be seen), score and score_before (log odds of what is wanted),
            seen and seen_before (⟨E_I, ΔT⟩/‖ΔT‖), S_dir, agreement, iou, lpips, and real and
            real_before, the distance to the nearest real face
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core.asyrp import Judge, directional_similarity
from latentgeo.eval.metrics.editing import Change, other_attributes
from latentgeo.eval.metrics.segmentation import mean_iou, pixel_agreement
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import (
    Estimate,
    function_of_means,
    mean_interval,
    proportion_interval,
)
from latentgeo.eval.semantic.wanted import Wanted, log_odds, shows
from latentgeo.models.judges.classifier import AttributeClassifier
from latentgeo.models.judges.segmenter import Segmenter
from latentgeo.models.perceptual import Lpips

Look = dict[str, float]
Values = NDArray[np.float64]
SUCCESS, KEPT = "success", "other attributes kept"
MEANS = {
    "S_dir": "S_dir",
    "agreement": "segmentation, equal pixels",
    "iou": "segmentation, mean IoU",
    "lpips": "LPIPS to the unedited",
}
NEAREST = "distance to the nearest real face, of the unedited's"


@dataclass(frozen=True, kw_only=True, eq=False)
class Readers:
    """What looks at images; none of them is the model's."""

    classifier: AttributeClassifier
    judge: Judge
    lpips: Lpips
    segmenter: Segmenter
    real: Tensor  # (M, F), features of real faces

    def check(self, size: int) -> None:
        """Raise ValueError unless images of `size` pixels a side can be read."""
        if size != self.classifier.config.size:
            raise ValueError(
                f"model: its images have {size} pixels a side, the classifier reads "
                f"{self.classifier.config.size}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What the readers see in N images."""

    images: Tensor  # (N, 3, H, W)
    logits: dict[str, Tensor]  # (N, V) by attribute
    values: list[dict[str, str]]
    embedding: Tensor  # (N, K)
    parts: Tensor  # (N, H, W)
    nearest: Tensor  # (N,)


@torch.no_grad()
def read(readers: Readers, images: Tensor) -> Reading:
    """Return what is seen in images (N, 3, H, W) in [-1, 1], everything on the CPU."""
    place = next(readers.classifier.parameters()).device
    logits = {name: z.cpu() for name, z in readers.classifier(images.to(place)).items()}
    known = readers.classifier.config.attributes
    best = {name: z.argmax(1).tolist() for name, z in logits.items()}
    return Reading(
        images=images,
        logits=logits,
        values=[
            {name: known[name][rows[i]] for name, rows in best.items()} for i in range(len(images))
        ],
        embedding=readers.judge.images(images).cpu(),
        parts=readers.segmenter.read(images),
        nearest=nearest(features(readers.lpips, images), readers.real),
    )


def features(lpips: Lpips, images: Tensor) -> Tensor:
    """Return AlexNet's features (N, F) of images (N, 3, H, W), on the CPU."""
    place = next(lpips.parameters()).device
    return lpips.features(images.to(place)).cpu()


def nearest(found: Tensor, real: Tensor) -> Tensor:
    """Return the distance (N,) of features (N, F) to the nearest of others (M, F)."""
    return torch.cdist(found.double(), real.double()).amin(1)


@torch.no_grad()
def compare(
    readers: Readers, wanted: Wanted, texts: Tensor, before: Reading, after: Reading
) -> list[Look]:
    """Return a look for each of N images, before and after an edit with texts (2, K)."""
    known = readers.classifier.config.attributes
    place = next(readers.lpips.parameters()).device
    towards = F.normalize(texts[1] - texts[0], dim=0)
    columns = {
        "score_before": log_odds(before.logits, wanted, known),
        "score": log_odds(after.logits, wanted, known),
        "seen_before": before.embedding @ towards,
        "seen": after.embedding @ towards,
        "S_dir": directional_similarity(before.embedding, after.embedding, texts[0], texts[1]),
        "agreement": pixel_agreement(before.parts, after.parts),
        "iou": mean_iou(before.parts, after.parts, len(readers.segmenter.config.parts)),
        "lpips": readers.lpips.distance(before.images.to(place), after.images.to(place)).cpu(),
        "real_before": before.nearest,
        "real": after.nearest,
    }
    looks = []
    for i, (old, new) in enumerate(zip(before.values, after.values, strict=True)):
        others = unasked(old, wanted)
        look = {name: float(column[i]) for name, column in columns.items()}
        look |= {"had": float(shows(old, wanted)), "has": float(shows(new, wanted))}
        look |= {"kept": float(sum(old[k] == new[k] for k in others)), "others": float(len(others))}
        looks.append(look)
    return looks


def unasked(values: dict[str, str], wanted: Wanted) -> list[str]:
    """Return the attributes that an edit should keep and that can be seen before and after it."""
    each = [
        set(other_attributes(Change(attribute=name, value=some[0], source="", target=""), values))
        for name, some in wanted.items()
    ]
    return sorted(set.intersection(*each))


def looks_of(rows: Sequence[Row], name: str) -> list[Look]:
    """Return the looks of one name in rows."""
    return [cast(Look, row[name]) for row in rows]


def column(looks: Sequence[Mapping[str, object]], name: str) -> Values:
    """Return one number of every look (N,), or of every row."""
    return np.array([look[name] for look in looks], dtype=np.float64)


def lacking(looks: Sequence[Look]) -> NDArray[np.int64]:
    """Return which images did not have what is wanted (N,), as flags to index with."""
    return np.flatnonzero(column(looks, "had") == 0)


def success(looks: Sequence[Look]) -> dict[str, Estimate]:
    """Return the share that has what is wanted of those that had not; nothing where all had."""
    some = column(looks, "has")[lacking(looks)]
    return {SUCCESS: proportion_interval(int(some.sum()), len(some))} if len(some) else {}


def estimates(looks: Sequence[Look]) -> dict[str, Estimate]:
    """Return what tables say of an edit, with intervals over its images.

    Asyrp Tab. 4, Asyrp Tab. 5   S_dir and segmentation consistency
    """
    found = success(looks)
    found[KEPT] = function_of_means(np.divide, column(looks, "kept"), column(looks, "others"))
    found |= {label: mean_interval(column(looks, name)) for name, label in MEANS.items()}
    pair = column(looks, "real"), column(looks, "real_before")
    return found | {NEAREST: function_of_means(np.divide, *pair)}


def prefixed(label: str, found: dict[str, Estimate]) -> dict[str, Estimate]:
    """Return estimates with a label before their names."""
    return {f"{label}: {name}": value for name, value in found.items()}
