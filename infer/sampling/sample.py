"""`latentgeo sample` of a model of prompts: a PNG per prompt and seed, and one grid of all.

Every picture has its settings inside.

Files are `<number>-seed<seed>.png` and `grid.png`; files of the same name are replaced.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.progress import progress
from latentgeo.core.run.text import read_lines
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.sampling.loading import load_model, loaded_hash
from latentgeo.infer.sampling.pipeline import (
    Sampling,
    generate,
    latent_shape,
    sampling_of,
    seed_noises,
)
from latentgeo.infer.sampling.settings import Sample, Unprompted
from latentgeo.models.bundles.text_to_image import TextToImage

MAX_COLUMNS = 8  # of the grid of one prompt's seeds


def sample_prompted(cmd: Sample) -> list[Path]:
    """Draw every prompt with every seed and return the files written, the grid last.

    Raises ValueError for options that only models without text have, and for no prompt at all.
    """
    if cmd.classes or cmd.model_config is not None or cmd.sampler != "ddim":
        raise ValueError(
            f"classes, model_config and sampler: got some for {cmd.model}, a model with text; they "
            "are for models without"
        )
    prompts = read_prompts(cmd.prompts, cmd.prompt_file)
    seeds = [cmd.seed + i for i in range(cmd.count)]
    spec = model_spec(cmd.model, cmd.lora, cmd.lora_scale)
    bundle = load_model(spec, cmd.device, cmd.dtype, cmd.embeddings, cmd.prediction)
    sampling = sampling_of(
        bundle, cmd.steps, cmd.guidance, eta=cmd.eta, negative=cmd.negative, batch=cmd.batch
    )
    write_run(cmd, cmd.out)
    shared = record(bundle, spec, sampling, cmd.size) | given_prediction(cmd)
    jobs = [(prompt, seed) for prompt in prompts for seed in seeds]
    pictures, files = [], []
    for i, picture in enumerate(pictures_of(bundle, jobs, sampling, cmd.size)):
        prompt, seed = jobs[i]
        path = cmd.out / f"{i // len(seeds):04d}-seed{seed}.png"
        files.append(save_png(path, picture, {"prompt": prompt, "seed": seed, **shared}))
        pictures.append(picture)
    sheet = grid_of_seeds(pictures, prompts, seeds)
    return [*files, save_png(cmd.out / "grid.png", sheet, {"prompts": prompts, **shared})]


def pictures_of(
    bundle: TextToImage,
    jobs: Sequence[tuple[str, int]],
    sampling: Sampling,
    size: int | None = None,
    label: str = "sampling",
) -> Iterator[Image.Image]:
    """Yield one picture per (prompt, seed), in order, with a progress bar."""
    prompts, seeds = [prompt for prompt, _ in jobs], [seed for _, seed in jobs]
    noise = seed_noises(seeds, latent_shape(bundle, size))
    with progress(total=len(jobs), label=label, unit="image") as bar:
        for images in generate(bundle, noise, prompts, sampling, seeds):
            bar.update(len(images))
            yield from map(to_picture, images)


def read_prompts(prompts: Sequence[str], file: Path | None) -> list[str]:
    """Return the prompts given and those of a UTF-8 file, one to a line; blank lines pass.

    Raises ValueError for a file that is not UTF-8, and where there is no prompt.
    """
    found = list(prompts)
    if file is not None:
        found += read_lines(file)
    if not found:
        raise ValueError(
            "prompts and prompt_file: got none, wanted what to draw: --prompts TEXT, or a file "
            "with a prompt on each line"
        )
    return found


def model_spec(model: str, lora: Path | None, scale: float) -> str:
    """Return `model` with an adapter, as `load_model` reads it."""
    return model if lora is None else f"{model}+{lora}@{scale:g}"


def record(
    bundle: TextToImage, spec: str, sampling: Sampling, size: int | None = None
) -> dict[str, object]:
    """Return the settings that, with prompt and seed, make an image again; `size` in pixels."""
    return {
        "model": spec,
        "weights": loaded_hash(bundle),
        "size": bundle.config.sampling.size if size is None else size,
        **sampling.plain(),
        "version": version("latentgeo"),
    }


def given_prediction(cmd: Sample | Unprompted) -> dict[str, object]:
    """Return for the record what the user says that the network predicts, if anything."""
    return {} if cmd.prediction is None else {"prediction": cmd.prediction}


def grid_of_seeds(
    pictures: Sequence[Image.Image], prompts: Sequence[str], seeds: Sequence[int]
) -> Image.Image:
    """Return the grid, a row per prompt if it has a few seeds, each tile captioned."""
    width = len(seeds) if 1 < len(seeds) <= MAX_COLUMNS else MAX_COLUMNS
    captions = [f"{prompt} ({seed})" for prompt in prompts for seed in seeds]
    starts = range(0, len(pictures), width)
    return grid(
        [pictures[i : i + width] for i in starts],
        captions=[captions[i : i + width] for i in starts],
    )
