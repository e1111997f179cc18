"""A walk of images, how even it is, and the files that show it.

SmoothS A.3 walks from ε^a to ε^b by slerp in equal steps of the latent; a smooth latent space
answers with equal steps of the image. Files: `strip.png` (a row per model), `<model>.gif`,
`distances.svg`, `distances.json`, with --mp4 `<model>.mp4`; files of the same name are replaced.

Notation  frames F: images at η = 0, 1/(F-1), …, 1; distances d_i between neighbours, i = 1 … F - 1.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.interpolate import sweep
from latentgeo.core.run.cli import write_run
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.infer.pictures.images import distinct, grid, save_gif, save_png, to_picture
from latentgeo.infer.pictures.plots import distances_plot
from latentgeo.infer.pictures.video import save_mp4
from latentgeo.infer.sampling.pipeline import (
    Sampling,
    generate,
)
from latentgeo.infer.walks.settings import Interpolate
from latentgeo.models.bundles.text_to_image import TextToImage


@dataclass(frozen=True, eq=False)
class Walk:
    """The images of one walk and what made them, under the name that its row and files get."""

    name: str
    images: Tensor  # (F, 3, H, W) in [-1, 1]
    settings: Mapping[str, object]


def write_walks(cmd: Interpolate, walks: Sequence[Walk], about: Mapping[str, object]) -> list[Path]:
    """Write strip, distances and animations of the walks and return the files."""
    names = [one.name for one in walks]
    distances = {one.name: adjacent_distances(one.images[None])[0].tolist() for one in walks}
    settings = {one.name: dict(one.settings) for one in walks}
    rows = [[to_picture(image) for image in one.images] for one in walks]
    write_run(cmd, cmd.out)
    summary = {**about, "scale": "[0,1]", "distances": distances, "settings": settings}
    files = [
        save_png(cmd.out / "strip.png", grid(rows, row_labels=short_names(names), gap=0), summary),
        atomic_write(cmd.out / "distances.json", json.dumps(summary, indent=2) + "\n"),
        atomic_write(cmd.out / "distances.svg", distances_plot(distances)),
    ]
    for name, row in zip(short_names(names), rows, strict=True):
        files.append(save_gif(cmd.out / f"{name}.gif", row))
        if cmd.mp4:
            files.append(save_mp4(cmd.out / f"{name}.mp4", row))
    return files


def noise_walk(a: Tensor, b: Tensor, frames: int) -> Tensor:
    """Return the latents (frames, C, h, w) on the arc from a to b, both (1, C, h, w).

    SmoothS Eq. 3   ε^η = slerp(ε^a, ε^b, η), η = 0, 0.1, …, 1 (11 frames)
    """
    return sweep(a, b, frames)[:, 0]


def walk(bundle: TextToImage, noise: Tensor, prompt: str, sampling: Sampling, label: str) -> Tensor:
    """Return the images (frames, 3, H, W) in [-1, 1] of latents (frames, C, h, w), one prompt."""
    images = []
    with progress(total=len(noise), label=label, unit="image") as bar:
        for batch in generate(bundle, noise, [prompt] * len(noise), sampling):
            images.append(batch)
            bar.update(len(batch))
    return torch.cat(images)


def adjacent_distances(images: Tensor) -> Tensor:
    """Return d (N, F - 1), float64, of N walks of images (N, F, C, H, W) in [-1, 1].

    SmoothS Sec. A.3   d_i = ‖x^{i+1} - x^i‖_2 over pixels and channels, here in [0, 1]

    Multiply by 255 for the scale of 8-bit pixels; the paper does not say which it used. Raises
    ValueError for images of another shape, or walks of one image.
    """
    if images.ndim != 5 or images.shape[1] < 2:
        raise ValueError(f"images: got {tuple(images.shape)}, wanted (N, F, C, H, W) with F >= 2")
    x = images.double().flatten(2) / 2  # [-1, 1] has twice the range of [0, 1]
    return (x[:, 1:] - x[:, :-1]).norm(dim=2)


def short_names(specs: Sequence[str]) -> list[str]:
    """Return a short name per model that can label a row and be part of a file name."""
    return distinct(
        [Path(spec.replace(".safetensors", "")).name.replace("+", "-") for spec in specs]
    )
