"""Pictures of the models beside each other: samples, walks, and the walk that stands for all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor

from latentgeo.eval.contenders import Contender
from latentgeo.eval.metrics.smoothness import DDOF, FRAMES, Walks, prompt_walks
from latentgeo.eval.page.canvas import Axes, Canvas
from latentgeo.eval.runs.settings import Evaluation
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.pictures.plots import COLOURS
from latentgeo.infer.sampling.sample import pictures_of
from latentgeo.infer.walks.walk import adjacent_distances, walk

SHOWN = 10_000  # prompt numbers of the walks that are shown; those measured count from 0
LEFT, PLOT = 58, 120  # pixels beside and beneath the images of a picture with its curve


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One interpolation: the images of all models, and the distances along each."""

    caption: str
    rows: Mapping[str, Sequence[Image.Image]]
    distances: Mapping[str, list[float]]

    @property
    def strips(self) -> Image.Image:
        """A row of images per model."""
        return grid(list(self.rows.values()), row_labels=list(self.rows), gap=0)


def samples_sheet(
    contenders: Sequence[Contender], captions: Sequence[str], cmd: Evaluation
) -> Image.Image:
    """Return, and write, the grid of samples: a row per model, a column per caption and seed."""
    jobs = [(caption, cmd.seed + i) for i, caption in enumerate(captions)]
    rows = [
        list(pictures_of(one.bundle, jobs, one.sampling, label=f"samples, {one.name}"))
        for one in contenders
    ]
    sheet = grid(
        rows,
        row_labels=[one.name for one in contenders],
        captions=[*[[""] * len(captions)] * (len(rows) - 1), list(captions)],
    )
    settings = {one.name: one.settings for one in contenders}
    save_png(cmd.out / "samples.png", sheet, {"jobs": jobs, "settings": settings})
    return sheet


def show_walk(contenders: Sequence[Contender], number: int, caption: str, cmd: Evaluation) -> Shown:
    """Return, and write, the walks of all models between two noises under one caption."""
    shown = walked(contenders, SHOWN + number, caption, cmd.seed)
    about = {"prompt": caption, "settings": {one.name: one.settings for one in contenders}}
    save_png(cmd.out / f"walk-{number + 1}.png", shown.strips, about)
    return shown


def walked(contenders: Sequence[Contender], prompt: int, caption: str, seed: int) -> Shown:
    """Return the walks of all models between the noises of a prompt's number."""
    rows, distances = {}, {}
    for one in contenders:
        noise = prompt_walks([prompt], one.bundle.latent_shape, seed, FRAMES)[0]
        images = walk(one.bundle, noise, caption, one.sampling, f"walk, {one.name}")
        distances[one.name] = adjacent_distances(images[None])[0].tolist()
        rows[one.name] = [to_picture(image) for image in images]
    return Shown(caption=caption, rows=rows, distances=distances)


def typical(walks: Mapping[str, Walks]) -> int:
    """Return the prompt whose walks are nearest to the median ISTD, of all models together.

    The least Σ over models of |log(its ISTD / the model's median)|: neither the best nor the worst.
    """
    found = np.stack([one.distances.std(axis=1, ddof=DDOF) for one in walks.values()])  # (M, N)
    spread = np.maximum(found, np.finfo(np.float64).tiny)
    middle = np.median(spread, axis=1, keepdims=True)
    return int(np.abs(np.log(spread / middle)).sum(axis=0).argmin())


def with_curve(shown: Shown) -> Image.Image:
    """Return the walks and beneath them how far each image is from the one before it.

    A point of the curve lies under the border of the two images that it is about.
    """
    images = list(shown.rows.values())
    width, height = images[0][0].size
    right, top = LEFT + width * len(images[0]), height * len(images)
    canvas = Canvas(right, top + PLOT)
    highest = max(map(max, shown.distances.values()))
    axes = Axes(canvas=canvas, box=(LEFT, top + 32, right, top + PLOT - 8),
                x=(0, len(images[0])), y=(0, highest * 1.05))  # fmt: skip
    axes.frame((), even_ticks(highest), "distance between neighbouring images", "")
    for i, (name, values) in enumerate(shown.distances.items()):
        colour = ImageColor.getrgb(COLOURS[i % len(COLOURS)])[:3]
        axes.curve(list(enumerate(values, 1)), colour, 1.8, dots=True)
        canvas.text((LEFT - 8, (i + 0.5) * height), name, 13, "rm", colour)
    picture = canvas.picture()
    for i, row in enumerate(images):
        for j, image in enumerate(row):
            picture.paste(image, (LEFT + j * width, i * height))
    return picture.quantize(256)  # half the bytes, and no difference to be seen


def even_ticks(highest: float) -> list[float]:
    """Return 0 and two to five round numbers up to the highest, which is positive."""
    power = 10.0 ** math.floor(math.log10(highest))
    step = next(k * power for k in (0.2, 0.5, 1, 2, 5) if highest / (k * power) < 5)
    return [i * step for i in range(int(highest / step) + 1)]
