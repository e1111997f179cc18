"""The report's section on semantic editing: a frozen model's bottleneck, and directions in it.

The model takes no text and is not changed; held-out faces are inverted, and on the way back every
step's h is shifted by a small network of one attribute (Asyrp, arXiv 2210.10960).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.device import pick_device
from latentgeo.core.run.progress import progress
from latentgeo.core.run.ranks import process_group
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.page import report as html
from latentgeo.eval.runs.results import Result, table
from latentgeo.eval.semantic.looks import KEPT, SUCCESS
from latentgeo.eval.semantic.run import all_measured, prepared
from latentgeo.eval.semantic.settings import EvalAsyrp
from latentgeo.eval.semantic.subject import Edit, Subject
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.sampling.unprompted import images_of
from latentgeo.infer.semantic.editing import Editing, edit
from latentgeo.models.formats.load import DIRECTIONS
from latentgeo.models.zoo.places import ZOO

MODEL = "avatars-ddpm"
MEASURED_AT_ALL_SCALES = "glasses"  # or the first there is; of every edit it takes a minute more
TITLE = "Edits in a frozen model's bottleneck"
SHOWN = {  # what of the results the table has
    f"success: {SUCCESS}": "wanted attribute appears",
    f"success: {KEPT}": "others kept",
    "success: S_dir": "S_dir",
    "success: segmentation, equal pixels": "segmentation, equal pixels",
    "success: reconstruction, PSNR": "PSNR of Δh = 0",
    "linearity: log odds of the wanted: R², per image": "linearity, R²",
}


@dataclass(frozen=True, kw_only=True)
class Semantic:
    """How much of everything the section does."""

    shown: int = 3  # faces in the pictures
    measured: int = 8  # faces behind the numbers
    steps: int = 20  # S̃, of the inversion too
    scales: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    names: tuple[str, ...] = ()  # of the edits; none are all that there are


def files(plan: Semantic, directions: Path = ZOO / MODEL / DIRECTIONS) -> tuple[str, ...]:
    """Return the files of the edits of a plan."""
    found = sorted(directions.glob("*.safetensors"))
    return tuple(str(path) for path in found if not plan.names or path.stem in plan.names)


def editing_section(
    demo: Demo, plan: Semantic, model: str = MODEL, directions: Path = ZOO / MODEL / DIRECTIONS
) -> tuple[str, list[Result]]:
    """Return the section and its results, and write its pictures; a line where nothing is there."""
    edited = files(plan, directions)
    if not edited:
        return html.section(TITLE, html.paragraph(f"No directions in {directions.name}.")), []
    cmd = EvalAsyrp(
        model=model,
        edits=edited,
        out=demo.out / "editing",
        properties=("success",),
        data=demo.data,
        classifier=demo.classifier,
        n_images=plan.measured,
        steps=plan.steps,
        scales=plan.scales,
        seed=demo.seed,
        device=demo.device,
    )
    place = pick_device(demo.device)
    with process_group(place):
        subject, edits = prepared(cmd, place)
        results = all_measured(cmd, subject, edits)
        one = [each for each in edits if each.name == MEASURED_AT_ALL_SCALES] or edits[:1]
        results += all_measured(replace(cmd, properties=("linearity",)), subject, one)
    jobs = list(range(plan.shown))
    pictures = {"edits-in-h": strips(subject, edits, jobs, plan.scales)}
    if len(edits) > 1:
        pictures["edits-combined"] = combined(subject, edits, jobs)
    for name, picture in pictures.items():
        save_png(
            demo.out / f"{name}.png", picture, {"model": model, "edits": edited, "seed": demo.seed}
        )
    return section(pictures, results, plan), results


def section(pictures: dict[str, Image.Image], results: Sequence[Result], plan: Semantic) -> str:
    """Return the section's HTML."""
    opening = (
        "Faces that no model has seen, brought to noise and back by a model without text, which "
        "stays as it is. On the way back a small network of each attribute shifts the bottleneck "
        "h; negative factors were not trained."
    )
    words = {"edits-in-h": opening, "edits-combined": "Two edits at once: their shifts are added."}
    parts = [
        html.paragraph(words[name]) + html.picture(picture, name)
        for name, picture in pictures.items()
    ]
    note = f"n = {plan.measured}, {plan.steps} steps; success counts faces that lacked it"
    return html.section(TITLE, *parts, numbers(results), html.paragraph(note, soft=True))


def numbers(results: Sequence[Result]) -> str:
    """Return a table with a row per measure and a column per edit."""
    shown = [replace(one, metric=SHOWN[one.metric]) for one in results if one.metric in SHOWN]
    return html.table(*table(shown))


def succeeded(results: Sequence[Result]) -> str:
    """Return in how many faces that lacked it each attribute appears; nothing of no results."""
    found = [one for one in results if one.metric == f"success: {SUCCESS}"]
    said = ", ".join(f"{one.model} {_percent(one)} (n = {one.n})" for one in found)
    return f"an edit succeeds on faces that lack what it adds: {said}." if said else ""


def _percent(one: Result) -> str:
    value, low, high = (100 * share for share in one.span)
    return f"{value:.0f} % [{low:.0f}, {high:.0f}]"


def strips(
    subject: Subject, edits: Sequence[Edit], jobs: Sequence[int], scales: Sequence[float]
) -> Image.Image:
    """Return a row per face and edit: the face itself, then the edit at every scale."""
    made = [
        torch.stack([subject.scaled(one, jobs, c).images for c in scales], 1)
        for one in progress(edits, label="strips", unit="edit")
    ]
    rows = [
        [to_picture(image) for image in (subject.images[job], *each[i])]
        for i, job in enumerate(jobs)
        for each in made
    ]
    heads = ["image", *(f"{c:+g}" if c else "0" for c in scales)]
    labels = [one.name for _ in jobs for one in edits]
    return grid(rows, row_labels=labels, column_labels=heads, gap=0)


def combined(subject: Subject, edits: Sequence[Edit], jobs: Sequence[int]) -> Image.Image:
    """Return a row per face: itself, two edits, and both at once, for all neighbouring edits."""
    rows, labels = [], []
    for one, other in pairwise(edits):
        made = [subject.own(one, jobs).images, subject.own(other, jobs).images]
        made.append(together(subject, (one, other), jobs))
        for i, job in enumerate(jobs):
            rows.append([to_picture(x) for x in (subject.images[job], *(each[i] for each in made))])
            labels.append(f"{one.name}\n+ {other.name}")
    heads = ["image", "the first", "the second", "both"]
    return grid(rows, row_labels=labels, column_labels=heads, gap=0)


def together(subject: Subject, edits: Sequence[Edit], jobs: Sequence[int]) -> Tensor:
    """Return images (B, 3, H, W) by several edits at once, each in its own interval.

    Asyrp Alg. 1   Δh = S_for/S_gen Σ_i c_i f_i(h), all c_i = 1
    """
    editing = Editing(
        attributes=[one.attribute for one in edits],
        scales=torch.ones(len(jobs), len(edits)),
        t_boost=min(one.t_boost for one in edits),
    )
    x_T, visited = subject.starts(jobs), subject.visited()
    x_0 = edit(subject.model, x_T, editing, visited, subject.draw(jobs))
    return images_of(subject.model, x_0)
