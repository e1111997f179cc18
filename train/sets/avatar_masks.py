"""Exact part masks of the rendered faces: the same drawings with every part in a flat colour.

Parts   those of models/judges/segmenter.py. The nose and shadows on the skin are skin, a shadow of
        the hair is what it falls on, teeth and tongue are mouth, glasses are their frame, and dark
        lenses; a pixel is the part that covers most of it
Order   that of the drawing: what lies above hides what is below, as in the image
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.models.judges.segmenter import PARTS
from latentgeo.train.sets.avatars import SUPERSAMPLING, Look, drawing, face_plan, placed, rasterized
from latentgeo.train.sets.settings import RenderMasks

GROUPS = {  # how the id of a group of the drawing ends -> the part that it draws
    "_Body": "skin",
    "_Nose": "skin",
    "_Clothing": "clothes",
    "_Mouth": "mouth",
    "_Eyes": "eyes",
    "_Eyebrow": "brows",
    "_Top": "hair",
    "_Facial-Hair": "beard",
    "_Accessory": "glasses",
}
CLIPS = ("defs", "mask", "clipPath", "filter", "title", "desc")  # they draw nothing themselves
SHADOWS = "_Shadow"
SEE_THROUGH = ("fill-opacity", "stroke-opacity", "opacity", "filter")
LEVELS = (0, 128, 255)  # of a channel: nine colours of which no two are near
COLOURS = [(LEVELS[i // 3], LEVELS[i % 3], 255) for i in range(len(PARTS))]  # by number of part


def mask(values: dict[str, str], look: Look, size: int) -> np.ndarray:
    """Return the parts' numbers (size, size) uint8 of a face of these attributes and look."""
    side = SUPERSAMPLING * size
    drawn = rasterized(flat(drawing(values, look)), side)
    scaled = [round(look.scale * edge) for edge in drawn.size]
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    placed(canvas, drawn.resize(scaled, Image.Resampling.NEAREST), look)
    return majority(numbers(np.asarray(canvas)))


def flat(svg: str) -> str:
    """Return a drawing with every part in its colour, opaque and with hard edges."""
    root = ElementTree.fromstring(svg)
    root.set("shape-rendering", "crispEdges")
    _paint(root, None)
    return ElementTree.tostring(root, encoding="unicode")


def numbers(pixels: np.ndarray) -> np.ndarray:
    """Return the number of the nearest part's colour (H, W) of RGBA pixels (H, W, 4)."""
    red, green = ((pixels[..., i].astype(np.int32) + 64) // 128 for i in (0, 1))  # of LEVELS
    return np.where(pixels[..., 3] < 128, 0, 3 * red + green).astype(np.uint8)


def majority(fine: np.ndarray) -> np.ndarray:
    """Return the most frequent number of every SUPERSAMPLING² cell of (H, W); ties: the least."""
    k = SUPERSAMPLING
    cells = fine.reshape(fine.shape[0] // k, k, fine.shape[1] // k, k)
    counts = np.stack([(cells == part).sum((1, 3)) for part in range(len(PARTS))], axis=-1)
    return counts.argmax(-1).astype(np.uint8)


def _paint(element: ElementTree.Element, part: str | None) -> None:
    tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "comment"
    if tag in CLIPS or tag == "comment":
        return
    name = element.get("id", "")
    part = next((part for end, part in GROUPS.items() if name.endswith(end)), part)
    for key in SEE_THROUGH:
        element.attrib.pop(key, None)
    for key in ("fill", "stroke"):
        if part is not None and element.get(key, "none") != "none":
            element.set(key, "#{:02x}{:02x}{:02x}".format(*COLOURS[PARTS.index(part)]))
    for child in list(element):
        if child.get("id", "").endswith(SHADOWS):
            element.remove(child)
        else:
            _paint(child, part)


def render_masks(cmd: RenderMasks) -> str:
    """Write the masks of some faces of a seed as PNG; return each part's share of the pixels.

    Face 7 of the seed is `000007.png`; a pixel's value is its part's number.
    """
    pixels: Counter[str] = Counter()
    faces = range(cmd.first, cmd.first + cmd.count)
    masks = _masks(faces, cmd.seed, cmd.size, cmd.workers)
    found = progress(masks, total=len(faces), label="masks")
    for i, parts in zip(faces, found, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(parts).save(buffer, "PNG")
        atomic_write(cmd.out / f"{i:06d}.png", buffer.getvalue())
        pixels.update({PARTS[n]: int((parts == n).sum()) for n in np.unique(parts)})
    total = pixels.total()
    return "\n".join(f"{part:12s} {n / total:.4f}" for part, n in pixels.most_common())


def _masks(faces: Sequence[int], seed: int, size: int, workers: int) -> Iterator[np.ndarray]:
    make = partial(_mask, seed=seed, size=size)
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(make, faces, chunksize=32)


def _mask(i: int, seed: int, size: int) -> np.ndarray:
    values, _, look = face_plan(i, seed)
    return mask(values, look, size)
