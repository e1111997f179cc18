"""The report's section on an isometric latent space: a pixel model beside its isometric twin.

Isometric Diffusion (arXiv 2407.11451), Sec. 4 in small: one walk of both models with the LPIPS of
its steps (Fig. 6), RTL(t) (Fig. 5), the metrics of Tab. 1 but for linear separability, which takes
a thousand samples and more (`latentgeo eval-isometry`), and the first directions (Fig. 7). Without
the models' weights the section is one line that says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from latentgeo.eval.demo.page import change
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.isometric.measure import loaded
from latentgeo.eval.isometric.results import MRTL, PPL, STEP, curves, is_headline
from latentgeo.eval.isometric.rows import Subject, arcs
from latentgeo.eval.isometric.run import CURVES, measured_models
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.page import report as html
from latentgeo.eval.page.plots import curves_plot, ratios_plot
from latentgeo.eval.runs.results import RATIO, Result, table
from latentgeo.eval.transport.walks import image_steps
from latentgeo.infer.directions.run import (
    basis_at,
    labels,
    noisy_image,
    pictures_of,
    sheet,
    traversed,
)
from latentgeo.infer.directions.settings import Directions
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.sampling.loading import parse_model

TITLE = "An isometric latent space"
ANGLE = 3.0  # degrees of the sphere that γ = 1 moves by; at 10 these faces are black or white
MODELS = ("avatars-ddpm", "avatars-ddpm-isometric")  # the base, its twin


@dataclass(frozen=True, kw_only=True)
class Isometric:
    """How much of everything the section does."""

    steps: int = 10  # DDIM steps of every image
    pairs: int = 12  # of PPL
    walks: int = 3  # of mRTL, the first of them shown
    frames: int = 7  # images of a walk
    images: int = 4  # held-out images of MCN and VoR
    times: tuple[int, ...] = (600,)  # t of MCN and VoR
    cell: int = 8  # side of the squares that h is averaged over for MCN and VoR
    samples: int = 40  # of the Fréchet distance
    directions: int = 2  # shown of each model


def isometric_section(
    cmd: Demo, plan: Isometric, models: tuple[str, str] = MODELS
) -> tuple[str, list[Result]]:
    """Return the section and its results, and write its pictures; one line without the weights."""
    if missing := [spec for spec in models if not _is_there(spec)]:
        words = f"Left out: the weights of {' and '.join(missing)} are not in this installation."
        return html.section(TITLE, html.paragraph(words)), []
    wanted = command(cmd, plan, models)
    results = measured_models(wanted)
    subjects = {spec: loaded(wanted, spec)[0] for spec in models}
    strips, steps = walks(wanted, subjects)
    found = {spec: directions(cmd, plan, spec, one) for spec, one in subjects.items()}
    about = {"models": list(models), "seed": cmd.seed, "steps": plan.steps}
    save_png(cmd.out / "isometric-walk.png", strips, about)
    for number, picture in enumerate(found.values(), 1):
        save_png(cmd.out / f"isometric-directions-{number}.png", picture, about)
    parts = [_opening(models), *_walk(strips, steps), *_metrics(results, models)]
    return html.section(TITLE, *parts, *_directions(found)), results


def command(cmd: Demo, plan: Isometric, models: tuple[str, str]) -> EvalIsometry:
    """Return what is measured of both models, with rows in the demo's folder."""
    return EvalIsometry(
        models=models,
        out=cmd.out,
        metrics=("ppl", "mrtl", "mcn", "vor", "fd"),
        data=cmd.data,
        seed=cmd.seed,
        steps=plan.steps,
        n_samples=plan.samples,
        ppl_pairs=plan.pairs,
        walks=plan.walks,
        frames=plan.frames,
        jacobians=plan.images,
        times=plan.times,
        cells=(plan.cell,),
        classifier=cmd.classifier,
        device=cmd.device,
    )


def walks(
    cmd: EvalIsometry, subjects: Mapping[str, Subject]
) -> tuple[Image.Image, dict[str, list[float]]]:
    """Return the first walk of every model as a strip, and LPIPS between its neighbours."""
    rows, steps = [], {}
    for spec, one in subjects.items():
        images = one.images(arcs(one, cmd, [0])[:, 0])
        steps[spec] = image_steps(images, one.lpips)["lpips"]
        rows.append([to_picture(image) for image in images])
    return grid(rows, row_labels=list(subjects), gap=0), steps


def directions(cmd: Demo, plan: Isometric, spec: str, one: Subject) -> Image.Image:
    """Return the images along the first directions of the seed's noise, γ = -2 … 2.

    Iso Sec. 4.3   the local basis at x_T
    """
    how = Directions(
        model=spec,
        out=cmd.out,
        seed=cmd.seed,
        count=plan.directions,
        steps=plan.steps,
        angle=ANGLE,
    )
    start = noisy_image(one.model, how, one.sampling)
    basis = basis_at(one.model, how, start.x, start.visited[0], how.count)
    x = traversed(how, start.x, basis).flatten(0, 1)
    pictures = pictures_of(one.model, how, one.sampling, start, x, f"directions of {spec}")
    return sheet(pictures, *labels(how, basis))


def sentence(results: Sequence[Result], models: tuple[str, str]) -> str:
    """Return what the ratios of the second model to the first say, metric by metric."""
    words = []
    for name in (PPL, MRTL):
        ratio = next((one for one in _ratios(results, models) if one.metric.startswith(name)), None)
        said = change(
            ratio, 1.0, "is lower than", "is higher than", "cannot be told, at this n, from"
        )
        if ratio is not None:
            words.append(f"{name} of {models[1]} {said} that of {models[0]} (ratio {ratio.text}).")
    return " ".join(words)


def _is_there(spec: str) -> bool:
    """Whether a model's weights, an adapter's included, are where its name says."""
    try:
        parse_model(spec).check()
    except FileNotFoundError:
        return False
    return True


def _ratios(results: Sequence[Result], models: tuple[str, str]) -> list[Result]:
    """Return the headline ratios of the second model to the first."""
    own = [one for one in results if one.model == models[1] and is_headline(one)]
    return [one for one in own if RATIO in one.metric]


def _opening(models: tuple[str, str]) -> str:
    return html.paragraph(
        "Isometric Diffusion trains a model so that its encoder, from noisy images to the "
        "bottleneck h, keeps distances up to one factor: a great circle of noise should become "
        "a straight line of h, and equal steps equal changes. The models here diffuse pixels and "
        f"take no text; {models[0]} is the base, {models[1]} is the same with an adapter."
    )


def _walk(strips: Image.Image, steps: Mapping[str, Sequence[float]]) -> list[str]:
    lines = {
        spec: [(float(i), one, one, one) for i, one in enumerate(values, 1)]
        for spec, values in steps.items()
    }
    words = (
        "Both models walk from one noise to another on the great circle between them. Beneath, "
        "LPIPS between neighbouring images: a spike is a jump."
    )
    _, along, up = CURVES["lpips.svg"]
    return [
        html.paragraph(words),
        html.picture(strips, "one walk, a row per model"),
        html.plot(curves_plot(lines, along, up), "LPIPS of each step, a line per model"),
    ]


def _metrics(results: Sequence[Result], models: tuple[str, str]) -> list[str]:
    prefix, along, up = CURVES["rtl.svg"]
    shown = [one for one in results if is_headline(one)]
    sizes = {one.metric: one.n for one in shown if RATIO not in one.metric}
    counted = "; ".join(
        f"n = {n}: {', '.join(metric for metric, own in sizes.items() if own == n)}"
        for n in dict.fromkeys(sizes.values())
    )
    bars = {one.metric.split(RATIO)[0]: {one.model: one.span} for one in _ratios(results, models)}
    about = (
        "PPL is the path length of images along a walk, mRTL how much longer the way of h is than "
        "the straight line (1 is straight), MCN and VoR the condition number and the variance of "
        "the encoder's singular values; lower is more isometric. FD is the Fréchet distance to "
        "held-out images. Linear separability takes a thousand samples and more, and is left to "
        "latentgeo eval-isometry. Ratios are paired: the same noises and images for both models."
    )
    return [
        html.subsection("How isometric", html.paragraph(about)),
        html.table(*table(shown)),
        html.paragraph(f"{counted}. Seed {shown[0].seed}.", soft=True),
        html.paragraph(sentence(results, models)),
        html.plot(ratios_plot(bars, f"ratio to {models[0]} (1: no change)"), "ratios"),
        html.plot(
            curves_plot(curves(results, prefix), along, up),
            "RTL of every time, a line per model",
            f"RTL(t) along {sizes[STEP]} walks: 1 is a straight line of h.",
        ),
    ]


def _directions(found: Mapping[str, Image.Image]) -> list[str]:
    words = (
        "The directions in which h answers most to the noise, found without labels (Local Basis); "
        f"γ, above, is in units of {ANGLE:g} degrees of the sphere; beside is how much h answers."
    )
    pictures = [html.picture(one, f"directions of {spec}", spec) for spec, one in found.items()]
    return [html.subsection("First directions", html.paragraph(words), *pictures)]
