"""`latentgeo inject-content`: images decoded with the bottleneck of others added to their own.

Hahm et al. (arXiv 2407.11451), App. G and Fig. VI. `injection.png` has the images x_0 down the
left, those x'_0 whose content is added along the top, and the edits between.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.injection import injected, side_by_side
from latentgeo.core.run.cli import write_run
from latentgeo.core.run.progress import progress
from latentgeo.infer.directions.settings import InjectContent
from latentgeo.infer.pictures.images import PAPER, grid, save_png, to_picture
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted import (
    ImageSampling,
    eps_of,
    image_shape,
    images_of,
    visited_times,
)
from latentgeo.infer.sampling.unprompted_model import (
    labels_of,
    load_unprompted,
    record,
    sampling_of,
)
from latentgeo.models.bundles.image_model import ImageModel


def inject_content(cmd: InjectContent) -> Path:
    """Draw every image with every content and return the picture's file."""
    model, label = load_unprompted(cmd)
    sampling, shape = sampling_of(model, cmd), image_shape(model, cmd.size)
    x, others = seed_noises(cmd.seeds, shape), seed_noises(cmd.content_seeds, shape)
    write_run(cmd, cmd.out)
    x_0 = injection(model, x, others, sampling, cmd.weight, label)
    parts = x_0.split(cmd.batch)
    pictures = [
        to_picture(image)
        for i, part in enumerate(parts)
        for image in images_of(model, part, i * cmd.batch)
    ]
    about = {"seeds": list(cmd.seeds), "sources": list(cmd.content_seeds), "weight": cmd.weight}
    sheet = table_of(pictures, cmd.seeds, cmd.content_seeds)
    return save_png(cmd.out / "injection.png", sheet, {**about, **record(model, cmd, sampling)})


@torch.no_grad()
def injection(
    model: ImageModel,
    x_T: Tensor,
    others: Tensor,
    sampling: ImageSampling,
    weight: float = 1.5,
    label: int | None = None,
) -> Tensor:
    """Return x_0 (N + M + N M, C, h, w) of images, sources and edits, as `side_by_side` has them.

    Iso Sec. G   h_t + 1.5 h'_t at every step of DDIM, from x_T

    They come from the noises x_T (N, C, h, w) of the images and `others` (M, C, h, w) of the
    sources.
    """
    x = side_by_side(x_T, others).to(model.device)
    given, visited = labels_of(label, x), visited_times(model, sampling)
    output = injected(
        lambda x, t: model.encode_h(x.to(model.dtype), t, given),
        lambda h, skips, t: model.decode_h(h, skips, t, given),
        len(x_T),
        len(others),
        weight,
    )
    with progress(total=len(visited) - 1, label="injecting", unit="step") as bar:

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            bar.update()
            return eps_of(model, x_t, output(x_t, t).to(x_t.dtype), t)

        return ddim.sample(predict, model.schedule, x, visited)


def table_of(
    pictures: Sequence[Image.Image], seeds: Sequence[int], sources: Sequence[int]
) -> Image.Image:
    """Return the edits with the images on the left and the sources above, its corner empty."""
    rows, columns = len(seeds), len(sources)
    images, above = pictures[:rows], pictures[rows : rows + columns]
    edits = pictures[rows + columns :]
    corner = Image.new("RGB", images[0].size, PAPER)
    body = [[image, *edits[i * columns : (i + 1) * columns]] for i, image in enumerate(images)]
    return grid(
        [[corner, *above], *body],
        row_labels=["content", *(f"seed {seed}" for seed in seeds)],
        column_labels=["image", *(f"seed {seed}" for seed in sources)],
    )
