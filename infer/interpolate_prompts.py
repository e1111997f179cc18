"""`latentgeo interpolate --prompts`: the walk between prompts, by one coupling beside another.

Files: `strip.png` (a row per model and coupling), `<model>-<coupling>.gif`, `distances.svg` (pixel
L2 of each step), `distances.json`; files of the same name are replaced. How a walk is made is in
`prompt_walk.py`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from torch import Tensor

from latentgeo.core.cli import write_run
from latentgeo.core.device import progress
from latentgeo.core.files import atomic_write
from latentgeo.core.transport import path_length
from latentgeo.infer.commands import Interpolate
from latentgeo.infer.images import grid, save_gif, save_png, to_picture
from latentgeo.infer.interpolate import adjacent_distances, noise_walk, short_names
from latentgeo.infer.pipeline import image_noise, latent_shape, load_model, parse_model, sampling_of
from latentgeo.infer.plots import distances_plot
from latentgeo.infer.prompt_walk import clouds_of, context_walk, images_of
from latentgeo.infer.sample import record


def interpolate_prompts(cmd: Interpolate) -> list[Path]:
    """Walk through the prompts with every model and coupling, and return the files written."""
    if len(set(cmd.models)) != len(cmd.models) or not cmd.models:
        raise ValueError(f"models: got {list(cmd.models)}, wanted at least one, each once")
    for spec in cmd.models:
        parse_model(spec).check()
    images: dict[str, Tensor] = {}
    lengths: dict[str, float] = {}
    settings = {}
    with progress(total=len(cmd.models) * len(cmd.coupling), label="walking", unit="walk") as bar:
        for spec, name in zip(cmd.models, short_names(cmd.models), strict=True):
            bundle = load_model(spec, cmd.device, cmd.dtype)
            sampling = sampling_of(bundle, cmd.steps, cmd.guidance, batch=cmd.batch)
            clouds = clouds_of(bundle, cmd.prompts)
            settings[name] = record(bundle, spec, sampling, cmd.size)
            for coupling in cmd.coupling:
                context = context_walk(clouds, coupling, cmd.frames, cmd.seed)
                noise = noises(cmd, latent_shape(bundle, cmd.size), len(context))
                images[f"{name}-{coupling}"] = images_of(bundle, noise, context, sampling)
                lengths[f"{name}-{coupling}"] = float(path_length(context))
                bar.update(1)
    return written(cmd, images, {"path_length_w2": lengths, "settings": settings})


def noises(cmd: Interpolate, shape: tuple[int, int, int], frames: int) -> Tensor:
    """Return the latents (F, C, h, w): that of the seed for all, or the walk to seed_b's."""
    start = image_noise(cmd.seed, shape)
    if cmd.noise_too:
        return noise_walk(start, image_noise(cmd.seed_b, shape), frames)
    return start.expand(frames, *shape)


def written(
    cmd: Interpolate, images: Mapping[str, Tensor], found: Mapping[str, object]
) -> list[Path]:
    """Write the strips, plots and numbers of walks of images (F, 3, H, W), and return the files."""
    distances = {name: adjacent_distances(walk[None])[0].tolist() for name, walk in images.items()}
    summary = {
        "prompts": list(cmd.prompts),
        "seed": cmd.seed,
        "seed_b": cmd.seed_b if cmd.noise_too else None,
        "scale": "[0,1]",
        "distances": distances,
        **found,
    }
    write_run(cmd, cmd.out)
    rows: list[list[Image.Image]] = [[to_picture(one) for one in walk] for walk in images.values()]
    sheet = grid(rows, row_labels=list(images), gap=0)
    return [
        save_png(cmd.out / "strip.png", sheet, summary),
        atomic_write(cmd.out / "distances.json", json.dumps(summary, indent=2) + "\n"),
        atomic_write(cmd.out / "distances.svg", distances_plot(distances)),
        *(save_gif(cmd.out / f"{name}.gif", row) for name, row in zip(images, rows, strict=True)),
    ]
