"""Pairs of rendered faces that differ in one attribute alone: edits as they should be.

They measure a directional judge: its direction between the two images should be that between the
two texts, and no other edit's.
"""

import json
import random
from dataclasses import dataclass

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.models.judges.captions import draw
from latentgeo.train.sets.avatars import draw_look, picture, webp
from latentgeo.train.sets.settings import RenderPairs

PAIRS = "pairs.jsonl"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of an attribute, and how the faces before and after are called."""

    attribute: str
    values: tuple[str, str]
    texts: tuple[str, str]


CHANGES = {
    "smile": Change(
        attribute="mouth", values=("serious", "smiling"), texts=("a serious face", "a smiling face")
    ),
    "sad": Change(
        attribute="mouth", values=("serious", "sad"), texts=("a serious face", "a sad face")
    ),
    "glasses": Change(
        attribute="accessory", values=("none", "glasses"), texts=("a face", "a face with glasses")
    ),
    "beard": Change(
        attribute="facial_hair", values=("none", "beard"), texts=("a face", "a face with a beard")
    ),
    "hair colour": Change(
        attribute="hair_colour",
        values=("black", "blond"),
        texts=("a face with black hair", "a face with blond hair"),
    ),
}


def pair(change: Change, i: int, seed: int, size: int) -> tuple[bytes, bytes]:
    """Return face i of this seed before and after a change, both lossless WebP (size, size)."""
    values = draw(random.Random(f"pair/{seed}/{i}"))
    if change.attribute == "hair_colour" and values["hair"] == "no":
        values["hair"] = "short"
    before, after = (values | {change.attribute: value} for value in change.values)
    first, second = (
        webp(picture(each, draw_look(each, random.Random(f"look/{seed}/{i}")), size))
        for each in (before, after)
    )
    return first, second


def render_pairs(cmd: RenderPairs) -> None:
    """Write the pairs of every change, and pairs.jsonl that names them and their texts."""
    rows = []
    for name, change in progress(CHANGES.items(), total=len(CHANGES), label="pairs"):
        for i in range(cmd.count):
            stem = f"{name.replace(' ', '-')}-{i:04d}"
            files = f"{stem}-before.webp", f"{stem}-after.webp"
            for file, image in zip(files, pair(change, i, cmd.seed, cmd.size), strict=True):
                atomic_write(cmd.out / file, image)
            rows.append({"change": name, "images": files, "texts": change.texts})
    atomic_write(cmd.out / PAIRS, "".join(json.dumps(row) + "\n" for row in rows))
