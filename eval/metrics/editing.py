"""Edits with a known answer: one attribute of a face's caption swapped, judged by a classifier.

A caption of the avatars states some attributes; an edit swaps one, or adds an accessory, and says
nothing else new. Four questions: does the image show the wanted value, does it show everything
else as before, how far is it from the source where the attribute is not seen, and does it move the
way that the caption does (directional similarity, Asyrp Eq. 17, of whole captions).

Everything is relative to the source image through the model's autoencoder, the best that any
edit of latents could keep.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core.asyrp import directional_similarity
from latentgeo.core.run.seeds import mix
from latentgeo.eval.metrics.caption_adherence import Attributes
from latentgeo.eval.runs.results import Result, result
from latentgeo.eval.runs.statistics import function_of_means, mean_interval, proportion_interval
from latentgeo.models.judges.captions import ATTRIBUTES, caption, parse_caption
from latentgeo.models.judges.judge import Judge

SWAPPED = (
    *("mouth", "hair_colour", "facial_hair", "accessory", "skin", "clothes_colour", "background"),
)
WANTED, KEPT = "wanted attribute", "other attributes kept"
LPIPS, OUTSIDE = "LPIPS to the source", "pixels outside, mean |difference| in [0, 1]"
DIRECTION = "directional similarity"
SIDES = ("source", "target")  # a change's captions


@dataclass(frozen=True, kw_only=True)
class Change:
    """One edit: an attribute, its new value, and the captions before and after."""

    attribute: str
    value: str
    source: str
    target: str


def check_stated(captions: Sequence[str]) -> None:
    """Raise `ValueError` where no caption states an attribute, as of images that are no avatars."""
    if not any(map(parse_caption, captions)):
        raise ValueError(
            "data: no caption states an attribute of the avatars, by which text edits are chosen "
            "and judged: measure them with --data avatars, or leave edits out"
        )


def propose(captions: Sequence[str], shown: Sequence[Attributes], seed: int) -> list[Change]:
    """Return a change for each caption that `seed` chooses, to a value its image does not show.

    `shown` is what the classifier reads in the images. Raises ValueError for captions of which none
    states an attribute.
    """
    check_stated(captions)
    changes = []
    for i, (text, seen) in enumerate(zip(captions, shown, strict=True)):
        rng = random.Random(mix(seed, "edit", i))
        stated = parse_caption(text)
        unstated = [] if "accessory" in stated else ["accessory"]
        names = [name for name in SWAPPED if name in stated] + unstated
        free = {name: others_than(name, stated, seen) for name in names}
        attribute = rng.choice([name for name, values in free.items() if values])
        after = stated | {attribute: rng.choice(free[attribute])}
        target = caption(after, set(after))
        changes.append(
            Change(attribute=attribute, value=after[attribute], source=text, target=target)
        )
    return changes


def others_than(name: str, stated: Attributes, seen: Attributes) -> list[str]:
    """Return the values of an attribute that a caption does not state and its image not show."""
    return [v for v in ATTRIBUTES[name] if v not in ("none", seen[name], stated.get(name))]


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """Who looks at edits."""

    read: Callable[[Tensor], list[dict[str, str]]]  # the attributes of images (N, 3, H, W)
    distance: Callable[[Tensor, Tensor], Tensor]  # LPIPS (N,)
    judge: Judge  # of directional similarity


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What became of N edits of one model by one method."""

    wanted: NDArray[np.float64]  # (N,) 1 where the image shows the wanted value
    kept: NDArray[np.float64]  # (N,) other attributes that it still shows
    others: NDArray[np.float64]  # (N,) other attributes
    lpips: NDArray[np.float64]  # (N,) to the source
    outside: NDArray[np.float64]  # (N,) mean |difference| of the pixels outside
    direction: NDArray[np.float64]  # (N,) S_dir of images and captions, in [-1, 1]


@torch.no_grad()
def look(
    changes: Sequence[Change],
    source: Tensor,
    edited: Tensor,
    eyes: Eyes,
    regions: Mapping[str, Tensor],
) -> Seen:
    """Compare edited images with their sources, both (N, 3, H, W) in [-1, 1].

    `regions` are the pixels (H, W) outside each attribute.

    Asyrp Eq. 17   S_dir of the source, the edit and their captions
    """
    before, after = eyes.read(source), eyes.read(edited)
    others = [other_attributes(one, old) for one, old in zip(changes, before, strict=True)]
    same = [
        sum(old[name] == new[name] for name in names)
        for old, new, names in zip(before, after, others, strict=True)
    ]
    difference = (edited - source).abs().mean(1) / 2  # (N, H, W) in [0, 1]
    apart = [
        float(difference[i][regions[one.attribute]].double().mean())
        for i, one in enumerate(changes)
    ]
    hits = [new[one.attribute] == one.value for one, new in zip(changes, after, strict=True)]
    texts = [eyes.judge.texts([getattr(one, side) for one in changes]) for side in SIDES]
    towards = directional_similarity(*map(eyes.judge.images, (source, edited)), *texts)
    return Seen(
        wanted=np.array(hits, dtype=np.float64),
        kept=np.array(same, dtype=np.float64),
        others=np.array([len(names) for names in others], dtype=np.float64),
        lpips=eyes.distance(edited, source).double().numpy(),
        outside=np.array(apart),
        direction=towards.double().cpu().numpy(),
    )


def other_attributes(change: Change, shown: Attributes) -> list[str]:
    """Return the attributes that an edit should keep and that can be seen before and after it."""
    hidden = {change.attribute}
    if shown["hair"] == "no":
        hidden.add("hair_colour")
    if "sunglasses" in (shown["accessory"], change.value):
        hidden.add("eyes")
    return [name for name in ATTRIBUTES if name not in hidden]


def edit_results(
    model: str, method: str, seen: Seen, seed: int, settings: Mapping[str, object]
) -> list[Result]:
    """Return the five numbers of one model and method."""
    n = len(seen.wanted)
    found = {
        WANTED: proportion_interval(int(seen.wanted.sum()), n),
        KEPT: function_of_means(np.divide, seen.kept, seen.others),
        LPIPS: mean_interval(seen.lpips),
        OUTSIDE: mean_interval(seen.outside),
        DIRECTION: mean_interval(seen.direction),
    }
    return [
        result("", f"{method}: {metric}", model, value, seed, settings)
        for metric, value in found.items()
    ]


def change_results(
    model: str, base: str, method: str, pair: tuple[Seen, Seen], seed: int
) -> list[Result]:
    """Return what one side has more than another, `base`, on the same edits, paired."""
    mine, theirs = pair
    found = {
        WANTED: mean_interval(mine.wanted - theirs.wanted),
        KEPT: mean_interval(mine.kept / mine.others - theirs.kept / theirs.others),
        LPIPS: mean_interval(mine.lpips - theirs.lpips),
        OUTSIDE: mean_interval(mine.outside - theirs.outside),
        DIRECTION: mean_interval(mine.direction - theirs.direction),
    }
    return [
        result("", f"{method}: {metric}, minus {base}", model, value, seed, {})
        for metric, value in found.items()
    ]
