"""`latentgeo eval-edit`: text edits of held-out faces by several models and methods.

Files: `results.json`, and for each model a grid of its first edits: the source through the
autoencoder, its reconstruction, one column per method.
"""

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import mix
from latentgeo.eval.contenders import Contender, check_models, contender
from latentgeo.eval.metrics.edit_regions import regions
from latentgeo.eval.metrics.editing import (
    SWAPPED,
    Change,
    Seen,
    change_results,
    edit_results,
    look,
    propose,
)
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.runs.results import Result, text_table, write_results
from latentgeo.eval.smooth.settings import EvalEdit
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.text_edits.editing import drawing, editing, invert, reconstruct
from latentgeo.infer.text_edits.methods import run_edit
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.judges.classifier import load_classifier
from latentgeo.models.perceptual import load_lpips

SHOWN = 12  # rows of a grid
SOURCE, RECONSTRUCTION = "source", "reconstruction"
REGION_IMAGES = 1024  # training images behind the regions, at most


def evaluate_edits(cmd: EvalEdit) -> list[Result]:
    """Edit with every model and method, judge, write results and grids, print the table."""
    check_models(cmd)
    held = captioned(cmd.data, "test", cmd.models).chosen(cmd.n_images, cmd.seed)
    train = captioned(cmd.data, "train")
    read, distance = load_classifier(cmd.classifier).read, load_lpips().distance
    contenders = [contender(cmd, spec, spec) for spec in cmd.models]
    size = contenders[0].bundle.config.sampling.size
    faces = train.chosen(min(len(train), REGION_IMAGES), cmd.seed).images(size)
    elsewhere = regions(faces, read(faces), SWAPPED)
    images = held.images(size)
    changes = propose(held.captions, read(images), cmd.seed)
    write_run(cmd, cmd.out)
    seen: dict[tuple[str, str], Seen] = {}
    for one, name in zip(contenders, short_names(cmd.models), strict=True):
        columns = edits_of(cmd, one, images, changes)
        for method, made in columns.items():
            if method != SOURCE:
                about = changes, columns[SOURCE], made
                seen[one.name, method] = look(*about, read, distance, elsewhere)
        save_png(cmd.out / f"{name}.png", sheet(columns, changes), one.settings)
    results = all_results(cmd, contenders, seen)
    write_results(cmd.out / "results.json", results)
    print(text_table(results))
    return results


@torch.no_grad()
def edits_of(
    cmd: EvalEdit, one: Contender, images: Tensor, changes: list[Change]
) -> dict[str, Tensor]:
    """Return images (N, 3, H, W) by column: source, reconstruction, and each method's edits."""
    parts: dict[str, list[Tensor]] = {}
    with progress(total=len(images), label=f"editing with {one.name}", unit="image") as bar:
        for start in range(0, len(images), cmd.batch):
            part = slice(start, start + cmd.batch)
            for column, made in _batch(cmd, one, images[part], changes[part], start).items():
                parts.setdefault(column, []).append(one.bundle.decode(made).float().cpu())
            bar.update(len(images[part]))
    return {column: torch.cat(found) for column, found in parts.items()}


def _batch(
    cmd: EvalEdit, one: Contender, images: Tensor, changes: list[Change], start: int
) -> dict[str, Tensor]:
    """Return the latents (B, C, h, w) of one batch, by column."""
    bundle, sampling = one.bundle, one.sampling
    own = 1.0 if cmd.source_guidance is None else cmd.source_guidance
    sources, targets = [c.source for c in changes], [c.target for c in changes]
    edit = editing(bundle, sources, targets, sampling.steps, sampling.guidance, own)
    z_0 = bundle.encode(images).float()
    x_T = invert(bundle, z_0, sources, edit.times, cmd.refine)
    seeds = [mix(cmd.seed, "sdedit", start + i) for i in range(len(images))]
    draw = drawing(seeds, z_0)
    made = {SOURCE: z_0, RECONSTRUCTION: reconstruct(edit, x_T)}
    return made | {m: run_edit(edit, m, cmd, x_T, z_0, draw) for m in cmd.methods}


def all_results(
    cmd: EvalEdit, contenders: list[Contender], seen: dict[tuple[str, str], Seen]
) -> list[Result]:
    """Return every model's numbers by method, and what each has more than the first model."""
    found: list[Result] = []
    base = contenders[0].name
    for model, method in seen:
        settings = next(one.settings for one in contenders if one.name == model)
        about = {**settings, "refine": cmd.refine, "method": method}
        found += edit_results(model, method, seen[model, method], cmd.seed, about)
        if model != base:
            pair = seen[model, method], seen[base, method]
            found += change_results(model, base, method, pair, cmd.seed)
    return found


def sheet(columns: dict[str, Tensor], changes: list[Change]) -> Image.Image:
    """Return a picture of images (N, 3, H, W) by column: a row per edit, with what was wanted."""
    shown = range(min(SHOWN, len(changes)))
    return grid(
        [[to_picture(images[i]) for images in columns.values()] for i in shown],
        row_labels=[f"{changes[i].attribute}: {changes[i].value}" for i in shown],
        column_labels=list(columns),
    )
