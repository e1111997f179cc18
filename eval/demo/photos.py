"""The report's section on real images: given back, walked between, edited and dragged.

Images are held out: no model has seen them. Inversion without guidance is DDIM's alone; with it,
null-text inversion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.interpolate import sweep
from latentgeo.core.run.progress import progress
from latentgeo.eval.contenders import Contender
from latentgeo.eval.metrics.editing import propose
from latentgeo.eval.metrics.heldout import Captioned
from latentgeo.eval.metrics.quality import Judges
from latentgeo.eval.page import report as html
from latentgeo.eval.runs.results import Result, result
from latentgeo.eval.runs.statistics import mean_interval
from latentgeo.eval.smooth.drags import MD, measure
from latentgeo.eval.smooth.inverted import TO_IMAGE, reconstruct, way
from latentgeo.eval.smooth.settings import Way
from latentgeo.infer.drags.defaults import dragging_of
from latentgeo.infer.drags.drag import Request, edit
from latentgeo.infer.drags.run import SHOWN, with_points
from latentgeo.infer.inversion.invert import ascend, back, encode, null_texts
from latentgeo.infer.pictures.closeness import compare
from latentgeo.infer.pictures.images import enlarge, grid, save_png, to_picture
from latentgeo.infer.text_edits.editing import editing, invert, smooth
from latentgeo.infer.walks.photos import frame_texts
from latentgeo.models.perceptual import Lpips, load_lpips

TITLE = "Real images"
METHODS: dict[Way, str] = {"ddim": "DDIM", "null-text": "null-text"}
RELEASE, REFINE = 0.7, 3  # of the text edit: Smooth Eq. 15's r, rounds of an inversion step


@dataclass(frozen=True, kw_only=True)
class Photos:
    """How many real images each part of the section has."""

    inverted: int  # reconstructed by DDIM and by null-text inversion
    edited: int  # edited by text
    frames: int  # of the walk between two
    identity: int = 0  # steps of the identity LoRA of the drag; 0 leaves the drag out


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One part: a picture, what it shows, and what was measured of it."""

    name: str  # of the picture's file
    title: str
    words: str
    picture: Image.Image
    numbers: Sequence[Result] = ()


def photo_section(
    contenders: Sequence[Contender],
    judges: Judges,
    held: Captioned,
    plan: Photos,
    seed: int,
    folder: Path,
) -> tuple[str, list[Result]]:
    """Return the section and its results, and write its pictures."""
    lpips = load_lpips(contenders[0].bundle.device)
    size = contenders[0].bundle.config.sampling.size
    first = held.first(plan.inverted)
    makers = [
        partial(reconstructions, contenders, first, first.images(size), lpips, seed),
        partial(between_two, contenders, held, held.first(2).images(size), plan.frames),
        partial(text_edits, contenders, judges, held.first(plan.edited), seed),
    ]
    if plan.identity:
        makers.append(partial(drag_exhibit, contenders, held.first(1), lpips, plan.identity, seed))
    exhibits = [make() for make in progress(makers, label="exhibits", unit="exhibit")]
    settings = {"settings": {one.name: one.settings for one in contenders}, "seed": seed}
    for one in exhibits:
        save_png(folder / f"{one.name}.png", one.picture, settings)
    parts = [
        html.subsection(
            one.title,
            html.paragraph(one.words),
            html.picture(one.picture, one.title),
            numbers_table(one.numbers),
        )
        for one in exhibits
    ]
    opening = (
        "Images that no model has seen, brought into the latent space and back. A model whose "
        "latent space is smooth should lose less on the way, and keep more of what an edit does "
        "not name."
    )
    results = [number for one in exhibits for number in one.numbers]
    return html.section(TITLE, html.paragraph(opening), *parts), results


def numbers_table(numbers: Sequence[Result]) -> str:
    """Return a table with a row per model and a column per metric; nothing without numbers."""
    if not numbers:
        return ""
    metrics = list(dict.fromkeys(one.metric for one in numbers))
    cells = {(one.model, one.metric): one.text for one in numbers}
    models = list(dict.fromkeys(one.model for one in numbers))
    rows = [[model, *(cells.get((model, metric), "–") for metric in metrics)] for model in models]
    sizes = sorted({one.n for one in numbers})
    note = html.paragraph(f"n = {', '.join(map(str, sizes))}", soft=True)
    return html.table(["", *metrics], rows) + note


def reconstructions(
    contenders: Sequence[Contender], held: Captioned, images: Tensor, lpips: Lpips, seed: int
) -> Exhibit:
    """Return the images (N, 3, H, W), the autoencoder's, and every model's by both methods."""
    rows, labels, numbers = [images], ["image"], []
    for name, title in METHODS.items():
        for one in contenders:
            how = way(name, one.sampling.steps, one.sampling.guidance, "released", 10)
            x = images.to(one.bundle.device)
            made, own = reconstruct(one.bundle, x, held.captions, how)
            if len(rows) == 1:
                rows.append(own.cpu())
                labels.append("autoencoder")
                numbers += measured(own, x, lpips, "autoencoder alone", seed, one)
            rows.append(made.cpu())
            labels.append(f"{one.name}, {title}")
            numbers += measured(made, x, lpips, labels[-1], seed, one)
    pictures = [[to_picture(image.clamp(-1, 1)) for image in row] for row in rows]
    return Exhibit(
        name="reconstruction",
        title="Inversion and reconstruction",
        words="Each column is one held-out face and its caption. DDIM inversion goes up and down "
        "without guidance; null-text inversion comes back with guidance, under null texts fitted "
        "to the image. Nothing can be nearer to the image than what the autoencoder gives back.",
        picture=grid(pictures, row_labels=labels),
        numbers=numbers,
    )


def measured(
    made: Tensor, x: Tensor, lpips: Lpips, label: str, seed: int, one: Contender
) -> list[Result]:
    """Return MSE, LPIPS, SSIM and PSNR of images to those they should be, (B, 3, H, W) each."""
    means = {
        f"{name}, {TO_IMAGE}": mean_interval(values.double().cpu().numpy())
        for name, values in compare(made, x, lpips).items()
    }
    return [
        result("Smooth", metric, label, mean, seed, one.settings) for metric, mean in means.items()
    ]


def between_two(
    contenders: Sequence[Contender], held: Captioned, images: Tensor, frames: int
) -> Exhibit:
    """Return every model's walk between the first two images (N, 3, H, W), by shared null texts.

    SmoothS Eq. 5, SmoothS Eq. 3
    """
    rows = []
    for one in contenders:
        bundle = one.bundle
        how = way("null-text", one.sampling.steps, one.sampling.guidance, "released", 10)
        texts = encode(bundle, held.captions[:2])
        with torch.no_grad():
            z = bundle.encode(images).float()
        pivot = ascend(bundle, z, texts, how)
        nulls = torch.stack([null for null, _ in null_texts(bundle, pivot, texts, how, True)])
        line = sweep(pivot[0, :1], pivot[0, 1:], frames)[:, 0]
        along = frame_texts(bundle, list(held.captions[:2]), frames)
        with torch.no_grad():
            made = bundle.decode(back(bundle, line, along, nulls, how))
        rows.append([to_picture(image) for image in made.float().cpu()])
    return Exhibit(
        name="between-images",
        title="A walk between two real images",
        words="Both faces are inverted with one sequence of null texts; their noises are joined by "
        "slerp, their captions' embeddings by straight lines. "
        f"“{held.captions[0]}” to “{held.captions[1]}”.",
        picture=grid(rows, row_labels=[one.name for one in contenders], gap=0),
    )


@torch.no_grad()
def text_edits(
    contenders: Sequence[Contender], judges: Judges, held: Captioned, seed: int
) -> Exhibit:
    """Return images and what every model makes of them under a caption with one change.

    Smooth Eq. 15   the source's caption for t > T r, the target's below
    """
    size = contenders[0].bundle.config.sampling.size
    images = held.images(size)
    changes = propose(held.captions, judges.classifier.read(images), seed)
    targets = [change.target for change in changes]
    rows = [[to_picture(image) for image in images]]
    for one in contenders:
        bundle, how = one.bundle, one.sampling
        edit = editing(bundle, held.captions, targets, how.steps, how.guidance, 1.0)
        z_0 = bundle.encode(images).float()
        x_T = invert(bundle, z_0, held.captions, edit.times, REFINE)
        made = bundle.decode(smooth(edit, x_T, RELEASE)).float().cpu()
        rows.append([to_picture(image) for image in made])
    captions = [f"{change.attribute.replace('_', ' ')}: {change.value}" for change in changes]
    return Exhibit(
        name="edits",
        title="Edits by text",
        words="Above the image, below it what the models make of it when its caption changes in "
        f"the one attribute that is named, from t = {RELEASE:g} T on. What the caption does not "
        "name should stay.",
        picture=grid(
            rows,
            row_labels=["image", *(one.name for one in contenders)],
            captions=[*[[""] * len(captions)] * (len(rows) - 1), captions],
        ),
    )


def drag_exhibit(
    contenders: Sequence[Contender], held: Captioned, lpips: Lpips, steps: int, seed: int
) -> Exhibit:
    """Return one image and what a drag to the right makes of it, by every model."""
    image = held.images(contenders[0].bundle.config.sampling.size)
    request = to_the_right(image.shape[-1])
    rows, numbers = [], []
    for one in contenders:
        known = dragging_of(one.bundle)
        how = replace(known, identity=replace(known.identity, steps=steps))
        done = edit(one.bundle, image, held.captions[0], request, how, seed)
        before, after = done.moved.tracks[0], done.moved.tracks[-1]
        rows.append([
            with_points(image[0], before, request.targets),
            enlarge(to_picture(done.original), SHOWN),
            enlarge(to_picture(done.edited), SHOWN),
            with_points(done.edited, before, request.targets, after, done.moved.tracks),
        ])  # fmt: skip
        distance = mean_interval([measure(done, request, lpips).distance])
        numbers.append(result("Drag", MD, one.name, distance, seed, one.settings))
    return Exhibit(
        name="drag",
        title="A drag",
        words="Two points of a held-out face, red, are to go to the blue ones and take the face "
        "with them (DragDiffusion); yellow is where the drag believes them to be. The number is "
        "where a judge that no model knows finds them, as a mean distance to the targets.",
        picture=grid(
            rows,
            row_labels=[one.name for one in contenders],
            column_labels=["image", "through the model", "dragged", "with the points"],
        ),
        numbers=numbers,
    )


def to_the_right(size: int) -> Request:
    """Return the drag of a face by an eye and its mouth, an eighth of `size` pixels to the right.

    The embedded faces have both in one place. A sixteenth of the image is kept on both sides.
    """
    handles = (torch.tensor([[0.36, 0.42], [0.48, 0.6]]) * size).round()
    mask = torch.ones(size, size)
    mask[:, : size // 16] = mask[:, -(size // 16) :] = 0
    return Request(handles=handles, targets=handles + torch.tensor([size // 8, 0]), mask=mask)
