"""`latentgeo sample` of a model that takes no text: a PNG per class and seed, and a grid."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image

from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.progress import progress
from latentgeo.infer.pictures.images import save_png, to_picture
from latentgeo.infer.sampling.loading import load_image, loaded_hash
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.sample import given_prediction, grid_of_seeds, model_spec
from latentgeo.infer.sampling.settings import Sample
from latentgeo.infer.sampling.unprompted import ImageSampling, generate_images, image_shape
from latentgeo.models.bundles.image_model import ImageModel

TEXT_ONLY = ("prompts", "prompt_file", "embeddings", "guidance", "negative")


def sample_unprompted(cmd: Sample) -> list[Path]:
    """Draw every class, if there are classes, with every seed; return the files, the grid last.

    Raises ValueError for options that only models of prompts have, and for wrong classes.
    """
    model = _load(cmd)
    labels = check_classes(model, cmd.classes)
    seeds = [cmd.seed + i for i in range(cmd.count)]
    steps = model.config.sampling.steps if cmd.steps is None else cmd.steps
    sampling = ImageSampling(steps=steps, sampler=cmd.sampler, eta=cmd.eta, batch=cmd.batch)
    write_run(cmd, cmd.out)
    shared = {
        "model": cmd.model,
        "weights": loaded_hash(model),
        "size": cmd.size or model.config.sampling.size,
        **sampling.plain(),
        **given_prediction(cmd),
        "version": version("latentgeo"),
    }
    jobs = [(label, seed) for label in labels or (None,) for seed in seeds]
    files, pictures = [], []
    for i, picture in enumerate(pictures_of(model, jobs, sampling, cmd.size)):
        label, seed = jobs[i]
        path = cmd.out / f"{i // len(seeds):04d}-seed{seed}.png"
        files.append(save_png(path, picture, {"class": label, "seed": seed, **shared}))
        pictures.append(picture)
    sheet = grid_of_seeds(pictures, [f"class {label}" for label in labels] or ["seed"], seeds)
    return [*files, save_png(cmd.out / "grid.png", sheet, {"classes": labels, **shared})]


def pictures_of(
    model: ImageModel,
    jobs: Sequence[tuple[int | None, int]],
    sampling: ImageSampling,
    size: int | None = None,
) -> Iterator[Image.Image]:
    """Yield one picture per (class, seed), in order, with a progress bar."""
    classes, seeds = [label for label, _ in jobs if label is not None], [seed for _, seed in jobs]
    noise = seed_noises(seeds, image_shape(model, size))
    labels = torch.tensor(classes) if classes else None
    with progress(total=len(jobs), label="sampling", unit="image") as bar:
        for images in generate_images(model, noise, sampling, seeds, labels):
            bar.update(len(images))
            yield from map(to_picture, images)


def check_classes(model: ImageModel, classes: Sequence[int]) -> list[int]:
    """Return the classes to draw; ValueError if they are not the model's, or it needs some."""
    known = model.config.classes or 0
    if bool(known) != bool(classes) or not all(0 <= label < known for label in classes):
        wanted = f"some of 0 to {known - 1}" if known else "none"
        got = " ".join(map(str, classes)) or "none"
        raise ValueError(f"classes: got {got}, wanted {wanted}: {model.config.name} has {known}")
    return list(classes)


def _load(cmd: Sample) -> ImageModel:
    given = [name for name in TEXT_ONLY if getattr(cmd, name) not in ((), None, "")]
    if given:
        raise ValueError(f"{given[0]}: got it for {cmd.model}, a model without text")
    spec = model_spec(cmd.model, cmd.lora, cmd.lora_scale)
    return load_image(spec, cmd.device, cmd.dtype, cmd.model_config, cmd.prediction)
