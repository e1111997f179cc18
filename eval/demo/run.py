"""`latentgeo demo`: what Smooth-LoRA changes, shown and measured on the embedded models.

Every number is computed by the run that reports it. Files: `report.html`, which holds everything,
`results.json`, the pictures as PNG, and the rows of the long measurement, from which a run that was
stopped goes on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.files import atomic_write
from latentgeo.eval.contenders import Contender, contender, judged, measured
from latentgeo.eval.demo.editing import Semantic, editing_section
from latentgeo.eval.demo.isometric import Isometric, isometric_section
from latentgeo.eval.demo.page import Content, Shown, report
from latentgeo.eval.demo.photos import Photos, photo_section
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import Judged, Judges, load_judges, quality_results, references
from latentgeo.eval.metrics.smoothness import FRAMES, prompt_walks, smoothness_results
from latentgeo.eval.runs.results import Result, write_results
from latentgeo.eval.runs.settings import Evaluation
from latentgeo.eval.smooth.sweep import Known, sweep
from latentgeo.eval.transport.run import demonstrated
from latentgeo.eval.transport.settings import EvalTransport
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.sampling.sample import pictures_of
from latentgeo.infer.walks.walk import adjacent_distances, walk

NAMES = ("base", "smooth")  # of the first two models; others keep their own
WALKS_SHOWN = 10_000  # prompt numbers of the walks that are shown; those measured count from 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything a run does."""

    samples: int  # captions shown, one image per model
    walks: int  # interpolations shown
    prompts: int  # walks measured for ISTD
    images: int  # samples judged for quality
    sweep_prompts: int = 0  # walks measured for each other λ; 0 leaves the curve out
    sweep_images: int = 0  # samples judged for each other λ
    steps: int | None = None  # DDIM steps; None is the model's own default
    pairs: int = 0  # of prompts walked between under every coupling; 0 leaves the section out
    pair_steps: int = 8  # DDIM steps of those walks
    photos: Photos | None = None  # of real images; None leaves the section out
    isometric: Isometric | None = None  # of the pixel models; None leaves the section out
    semantic: Semantic | None = None  # edits in h-space, likewise


FULL = Plan(
    samples=8,
    walks=3,
    prompts=100,
    images=128,
    sweep_prompts=16,
    sweep_images=48,
    steps=15,
    pairs=10,
    photos=Photos(inverted=8, edited=8, frames=9, identity=120),
    isometric=Isometric(),
    semantic=Semantic(),
)
QUICK = Plan(
    samples=6,
    walks=1,
    prompts=5,
    images=16,
    steps=10,
    photos=Photos(inverted=2, edited=4, frames=5),
)


def run_demo(cmd: Demo, plan: Plan | None = None) -> Path:
    """Do everything and return the path of the report."""
    start = time.monotonic()
    plan = plan or (QUICK if cmd.quick else FULL)
    captions = (
        captioned(cmd.data, "test", cmd.models)
        .chosen(max(plan.samples, plan.walks, plan.prompts), cmd.seed)
        .captions
    )
    judges = load_judges(cmd.classifier)
    names = dict(zip([*NAMES, *cmd.models[2:]], cmd.models, strict=False))
    contenders = [contender(cmd, name, spec, plan.steps) for name, spec in names.items()]
    write_run(cmd, cmd.out)

    sheet = samples_sheet(contenders, captions[: plan.samples], cmd)
    shown = [show_walk(contenders, i, captions[i], cmd) for i in range(plan.walks)]
    walks = {
        one.name: measured(one, captions[: plan.prompts], cmd.out / "rows", cmd.seed)
        for one in contenders
    }
    target, seen = judge_all(contenders, judges, cmd, plan.images)
    settings = {one.name: one.settings for one in contenders}
    results = smoothness_results(walks)
    results += quality_results(target, seen, cmd.seed, settings, contenders[0].name)
    known = Known(contenders=contenders, walks=walks, target=target, judged=seen, judges=judges)
    swept = sweep(cmd, known, plan.sweep_prompts, plan.sweep_images, plan.steps)

    between, coupled = walks_between(contenders[0], cmd, plan)
    photos, rebuilt = real_images(contenders, judges, cmd, plan)
    isometric, geometry = isometric_section(cmd, plan.isometric) if plan.isometric else ("", [])
    semantic, edited = editing_section(cmd, plan.semantic) if plan.semantic else ("", [])

    measurements = [*results, *swept, *coupled, *rebuilt, *geometry, *edited]
    write_results(cmd.out / "results.json", measurements)
    content = Content(
        models={one.name: one.spec for one in contenders},
        sampling=contenders[0].sampling,
        seed=cmd.seed,
        samples=sheet,
        walks=shown,
        results=results,
        swept=swept,
        between=between,
        photos=photos,
        isometric=isometric,
        semantic=semantic,
        minutes=(time.monotonic() - start) / 60,
    )
    return atomic_write(cmd.out / "report.html", report(content))


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
    rows, distances = [], {}
    for one in contenders:
        shape = one.bundle.latent_shape
        noise = prompt_walks([WALKS_SHOWN + number], shape, cmd.seed, FRAMES)[0]
        images = walk(one.bundle, noise, caption, one.sampling, f"walk {number + 1}, {one.name}")
        distances[one.name] = adjacent_distances(images[None])[0].tolist()
        rows.append([to_picture(image) for image in images])
    strips = grid(rows, row_labels=[one.name for one in contenders], gap=0)
    settings = {one.name: one.settings for one in contenders}
    save_png(cmd.out / f"walk-{number + 1}.png", strips, {"prompt": caption, "settings": settings})
    return Shown(caption=caption, strips=strips, distances=distances)


def walks_between(one: Contender, cmd: Demo, plan: Plan) -> tuple[str, list[Result]]:
    """Return the report's section on couplings of prompts, and its results; none without pairs."""
    if not plan.pairs:
        return "", []
    sampling = replace(one.sampling, steps=plan.pair_steps)
    wanted = EvalTransport(out=cmd.out, data=cmd.data, seed=cmd.seed, pairs=plan.pairs)
    return demonstrated(replace(one, sampling=sampling), wanted)


def real_images(
    contenders: Sequence[Contender], judges: Judges, cmd: Demo, plan: Plan
) -> tuple[str, list[Result]]:
    """Return the report's section on real images, and its results; none where the plan has none."""
    if plan.photos is None:
        return "", []
    count = max(2, plan.photos.inverted, plan.photos.edited)
    held = captioned(cmd.data, "test").chosen(count, cmd.seed)
    return photo_section(contenders, judges, held, plan.photos, cmd.seed, cmd.out)


def judge_all(
    contenders: Sequence[Contender], judges: Judges, cmd: Demo, images: int
) -> tuple[Judged, dict[str, Judged]]:
    """Return the held-out images and, by name, references and every model's samples, judged."""
    held = captioned(cmd.data, "test").chosen(images, cmd.seed)
    other = captioned(cmd.data, "train").chosen(images, cmd.seed)
    target, seen = references(contenders[0].bundle, judges, held, other)
    for one in contenders:
        seen[one.name] = judged(one, judges, held.captions, cmd.seed)
    return target, seen
