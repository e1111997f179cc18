"""`latentgeo eval-edit`: text edits of held-out faces by several models and methods.

Files: a folder of rows per model and method, `results.json`, and `edits.png`: of every attribute
the first edit of it, a row each: the source through the autoencoder, and a column per method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.contenders import Contender, check_models, contender, kept_rows
from latentgeo.eval.metrics.editing import (
    SWAPPED,
    Eyes,
    Seen,
    change_results,
    edit_results,
)
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.runs.jobs import measured_jobs
from latentgeo.eval.runs.results import Result, write_results
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.smooth.edit_search import CANDIDATES, best, score, words
from latentgeo.eval.smooth.edit_table import cost_results, edit_table
from latentgeo.eval.smooth.edited import (
    RECONSTRUCTION,
    Edits,
    Faces,
    Way,
    faces_of,
    seen_of,
)
from latentgeo.eval.smooth.settings import EvalEdit
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.pictures.photos import open_photo
from latentgeo.infer.text_edits.run import METHOD_OPTIONS
from latentgeo.infer.text_edits.settings import EditOptions
from latentgeo.models.judges.classifier import load_classifier
from latentgeo.models.judges.judge import load_judge
from latentgeo.models.perceptual import load_lpips


@dataclass(frozen=True)
class Cell:
    """One model's edits by one method with its settings."""

    name: str
    way: Way
    options: EditOptions


def evaluate_edits(cmd: EvalEdit) -> list[Result]:
    """Edit with every model and method, judge, write results and pictures, print the table."""
    check_models(cmd)
    eyes = Eyes(
        read=load_classifier(cmd.classifier).read,
        distance=load_lpips().distance,
        judge=load_judge(cmd.judge),
    )
    specs = cmd.models[:1] if cmd.search else cmd.models
    contenders = [contender(cmd, spec, spec) for spec in specs]
    train = captioned(cmd.data, "train", cmd.models)
    held = train if cmd.search else captioned(cmd.data, "test", cmd.models)
    size = contenders[0].bundle.config.sampling.size
    faces = faces_of(held.chosen(cmd.n_images, cmd.seed), train, eyes, size, cmd.seed)
    rows: dict[tuple[str, str], list[Row]] = {}
    with process_group(pick_device(cmd.device)):
        for one in contenders:
            edits = Edits(cmd, one, faces, eyes)
            for cell in cells(cmd, one is contenders[0]):
                rows[one.name, cell.name] = measured(edits, cell)
    seen = {place: seen_of(found) for place, found in rows.items()}
    results = all_results(cmd, contenders, seen) + cost_results(rows, cmd.seed)
    if is_main():
        write_run(cmd, cmd.out)
        write_results(cmd.out / "results.json", results)
        save_png(cmd.out / "edits.png", sheet(cmd, contenders, faces))
        print(edit_table(results))
        for line in chosen(seen) if cmd.search else ():
            print(line)
    return results


def cells(cmd: EvalEdit, first: bool) -> list[Cell]:
    """Return what is measured of a model, rivals of the first alone."""
    if cmd.search:
        return [
            Cell(f"{method} {words(given)}".strip(), method, replace(cmd, **given))  # type: ignore[arg-type]
            for method in cmd.methods + cmd.base_methods
            for given in CANDIDATES[method]
        ]
    methods = cmd.methods + (cmd.base_methods if first else ())
    return [Cell(RECONSTRUCTION, RECONSTRUCTION, cmd), *(Cell(m, m, cmd) for m in methods)]


def measured(edits: Edits, cell: Cell) -> list[Row]:
    """Return a row per edit, going on from those that there are; pictures of some are kept."""
    cmd, one = edits.cmd, edits.one
    folder, identity = place(cmd, one, cell)
    kept = set(shown(edits.faces).values())

    def measure(jobs: Sequence[int]) -> list[Row]:
        rows, images = edits.batch(cell.way, cell.options, tuple(jobs))
        for row, i, image in zip(rows, jobs, images, strict=True):
            if i == 0:
                row["bytes"] = edits.held(cell.way, cell.options)
            if i in kept:
                save_png(folder / f"{i}.png", to_picture(image))
        return rows

    about = {
        **{"data": edits.faces.data, "seed": cmd.seed, "search": cmd.search},
        **{"refine": cmd.refine, "source_guidance": cmd.source_guidance},
        **{"classifier": str(cmd.classifier), "judge": edits.eyes.judge.name},
        **options_of(cell),
    }
    settings = {**identity, **one.sampling.plain(), **about}
    label = f"{cell.name} with {one.name}"
    return measured_jobs(folder, settings, len(edits.faces.changes), cmd.batch, measure, label)


def place(cmd: EvalEdit, one: Contender, cell: Cell) -> tuple[Path, dict[str, object]]:
    """Return the folder of a cell's rows and pictures, and what they say of the model."""
    return kept_rows(one, cmd.out / "rows" / cell.name.replace(" ", "_"))


def options_of(cell: Cell) -> dict[str, object]:
    """Return what decides the edits of a cell, of its method's options."""
    names = () if cell.way == RECONSTRUCTION else METHOD_OPTIONS[cell.way]
    return {name: getattr(cell.options, name) for name in names if hasattr(cell.options, name)}


def shown(faces: Faces) -> dict[str, int]:
    """Return the number of the first edit of each attribute."""
    attributes = [change.attribute for change in faces.changes]
    return {name: attributes.index(name) for name in SWAPPED if name in attributes}


def all_results(
    cmd: EvalEdit, contenders: Sequence[Contender], seen: Mapping[tuple[str, str], Seen]
) -> list[Result]:
    """Return every model's numbers by method, and paired differences.

    Of each model from the first by the same method, and of rivals from the first method with the
    last model.
    """
    found: list[Result] = []
    base, last, first = contenders[0].name, contenders[-1].name, cmd.methods[0]
    for (model, method), mine in seen.items():
        settings = next(one.settings for one in contenders if one.name == model)
        about = {**settings, "refine": cmd.refine, "method": method}
        found += edit_results(model, method, mine, cmd.seed, about)
        if model != base:
            found += change_results(model, base, method, (mine, seen[base, method]), cmd.seed)
        if method in cmd.base_methods and not cmd.search:
            other = f"{first} with {last}"
            found += change_results(model, other, method, (mine, seen[last, first]), cmd.seed)
    return found


def chosen(seen: Mapping[tuple[str, str], Seen]) -> list[str]:
    """Return a line per method with its best settings."""
    by_method: dict[str, dict[str, Seen]] = {}
    for (_, name), one in seen.items():
        by_method.setdefault(name.split(" ")[0], {})[name] = one
    lines = {best(found): found for found in by_method.values()}
    return [f"{name}: wanted x kept {score(found[name]):.3f}" for name, found in lines.items()]


@torch.no_grad()
def sheet(cmd: EvalEdit, contenders: Sequence[Contender], faces: Faces) -> Image.Image:
    """Return the kept pictures: a row per attribute, a column per model and method."""
    rows, base = shown(faces), contenders[0]
    sources = faces.images[list(rows.values())]
    through = base.bundle.decode(base.bundle.encode(sources))
    tiles = {name: [to_picture(image)] for name, image in zip(rows, through, strict=True)}
    heads = ["source"]
    for one in contenders:
        for cell in cells(cmd, one is base):
            heads.append(cell.name if one is base else f"{cell.name} with {one.name}")
            for name, i in rows.items():
                tiles[name].append(open_photo(place(cmd, one, cell)[0] / f"{i}.png"))
    changes = [faces.changes[i] for i in rows.values()]
    labels = [f"{change.attribute}: {change.value}" for change in changes]
    return grid(list(tiles.values()), row_labels=labels, column_labels=heads)
