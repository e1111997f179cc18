"""The demo's report: what each picture and number means, in words that follow from the numbers.

A sentence claims a difference only where its 95 % interval leaves no doubt about the sign.
A few lines over 300, so that all that is claimed is read in one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from latentgeo.core.run.cli import environment
from latentgeo.eval.demo.walks import Shown
from latentgeo.eval.metrics.quality import ADHERENCE, FD, REAL, THROUGH_VAE
from latentgeo.eval.page import report as html
from latentgeo.eval.page.plots import intervals_plot, trade_off_plot
from latentgeo.eval.runs.results import RATIO, Result, table
from latentgeo.eval.smooth.sweep import CURVE
from latentgeo.infer.pictures.plots import distances_plot

ISTD = "ISTD, pixels [0,1]"
RELATIVE = "ISTD / mean adjacent distance"
MEAN = "mean adjacent distance"
SAMPLES, WALKS = "Samples", "Walks through the latent space"
SMOOTHNESS, QUALITY = "Smoothness", "Quality"
STRENGTH = "Strength of the regularization"
SMOOTH = "Smooth Diffusion"  # the paper
TYPICAL_WORDS = (
    "One walk between two noises in equal steps, by each model. Beneath, the distance from each "
    "image to the next: a spike is a jump. Of the walks measured it is the one nearest to the "
    "median ISTD of all models, so it is neither the best nor the worst."
)


@dataclass(frozen=True, kw_only=True)
class Written:
    """One section of the page, finished."""

    html: str
    results: Sequence[Result] = ()
    paper: str = ""  # whose line of the page's opening it has a part in
    found: str = ""  # that part
    picture: str = ""  # that the page opens with, if it is this section's
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a run of the demo found so far."""

    conditions: Sequence[str]  # lines of text
    length: str  # what was measured, and what a longer run would
    models: str  # which is which
    sections: Sequence[Written]
    missing: Sequence[str]  # titles of sections that are still to come


def report(content: Content) -> str:
    """Return the whole page."""
    return html.page(
        "Latent spaces of diffusion models, measured",
        _opening(content),
        *(one.html for one in content.sections),
        _conditions(content),
    )


def change(found: Result | None, neutral: float, less: str, more: str, unclear: str) -> str:
    """Return the words for a result below, above, or not told apart from a neutral value."""
    if found is None:
        return ""
    if found.interval is None:
        return unclear
    low, high = found.interval
    return less if high < neutral else more if low > neutral else unclear


def pick(results: Sequence[Result], metric: str, model: str) -> Result | None:
    """Return a model's result by the metric's name, if it was measured."""
    return next((one for one in results if (one.metric, one.model) == (metric, model)), None)


def _opening(content: Content) -> str:
    minutes = sum(one.seconds for one in content.sections) / 60
    parts = [html.paragraph(_waiting(content))] if content.missing else []
    parts += [html.points(lines)] if (lines := found(content.sections)) else []
    parts += [one.picture for one in content.sections]
    said = f"{content.models} Everything here was computed by this run, in {minutes:.1f} minutes"
    parts.append(html.paragraph(f"{said}. {content.length} Brackets hold 95 % intervals.", True))
    return "".join(parts)


def found(sections: Sequence[Written]) -> list[str]:
    """Return a line per paper that the sections say something of."""
    lines: dict[str, list[str]] = {}
    for one in sections:
        if one.found:
            lines.setdefault(one.paper, []).append(one.found)
    return [f"{paper}: {' '.join(said)}" for paper, said in lines.items()]


def _waiting(content: Content) -> str:
    have, wanted = len(content.sections), len(content.sections) + len(content.missing)
    return (
        f"This page has {have} of {wanted} sections: the run that writes it is not at its end, or "
        f"was stopped; the same command goes on from here. To come: {', '.join(content.missing)}."
    )


def samples_section(sheet: Image.Image, models: Sequence[str]) -> Written:
    """Return the section on samples of all models."""
    words = (
        f"A column has one caption and one noise. If {' and '.join(models)} show the same face "
        "with the same attributes, the adapter has kept what the model knew."
    )
    picture = html.picture(sheet, "grid of samples, a row per model")
    return Written(html=html.section(SAMPLES, html.paragraph(words), picture))


def walks_section(walks: Sequence[Shown]) -> Written:
    """Return the section that shows walks."""
    parts = [
        html.subsection(
            f"“{one.caption}”",
            html.picture(one.strips, f"interpolation under the caption {one.caption}"),
            html.plot(distances_plot(one.distances), "distance of each step, a line per model"),
        )
        for one in walks
    ]
    words = (
        "Each strip goes from one noise to another in ten equal steps (slerp) under one caption. "
        "The plot beneath is the distance between neighbouring images: a spike is a jump, a flat "
        "line an even walk. ISTD is the standard deviation along such a line."
    )
    return Written(html=html.section(WALKS, html.paragraph(words), *parts))


def smoothness_section(
    results: Sequence[Result], models: Sequence[str], typical: Image.Image
) -> Written:
    """Return the section on ISTD, of results of the first model and of others as ratios to it."""
    own = [one for one in results if RATIO not in one.metric]
    ratios = [one for one in results if RATIO in one.metric]
    words = (
        f"The mean over {own[0].n} prompts of that standard deviation, by the protocol of the "
        "paper's supplement (Sec. A.3): 11 images, pixel L2 distances, the same prompts and "
        "noises for every model. Lower is smoother. A model whose images change less also has "
        "a lower ISTD, so its ratio to the mean distance is the fairer measure."
    )
    parts = [html.paragraph(words), html.table(*table(own))]
    if ratios:
        bars = {f"{one.model}: {_short(one.metric)}": one.span for one in ratios}
        parts += [
            html.paragraph(smoothness_sentence(results, models[1])),
            html.plot(
                intervals_plot(bars, "ratio to the base model (1: no change)", 1.0),
                "ratios to the base model with their intervals",
            ),
        ]
    found = in_short(results, models[1]) if ratios else ""
    page = html.section(SMOOTHNESS, *parts)
    picture = html.picture(typical, TYPICAL_WORDS, TYPICAL_WORDS)
    return Written(html=page, results=results, paper=SMOOTH, found=found, picture=picture)


def in_short(results: Sequence[Result], model: str) -> str:
    """Return what the page opens with: is a model's walk more even, relative to its length too."""
    plain = _starting(results, f"ISTD{RATIO}", model)
    relative = _starting(results, f"{RELATIVE}{RATIO}", model)
    if plain is None or relative is None:
        return ""
    said = change(
        relative,
        1.0,
        f"walks of {model} are more even than the base's",
        f"walks of {model} are less even than the base's",
        f"whether walks of {model} are more even than the base's cannot be told",
    )
    return (
        f"{said}: ISTD is {plain.text} times the base's, relative to the walk's length "
        f"{relative.text} times (n = {plain.n} walks)."
    )


def smoothness_sentence(results: Sequence[Result], model: str) -> str:
    """Return what the ratios to the base model say about this model."""
    plain = _starting(results, f"ISTD{RATIO}", model)
    relative = _starting(results, f"{RELATIVE}{RATIO}", model)
    if plain is None or relative is None:
        return ""
    first = change(
        plain,
        1.0,
        f"The distances of the {model} model vary less from step to step",
        f"The distances of the {model} model vary more from step to step",
        f"Whether the distances of the {model} model vary less cannot be told from these prompts",
    )
    second = change(
        relative,
        1.0,
        "and they do so relative to their own size too: the walk itself is more even.",
        "but relative to their own size they vary more: the walk is not more even.",
        "and relative to their own size no difference can be told.",
    )
    return f"{first} (ISTD {plain.text} times the base's), {second} (Ratio {relative.text}.)"


def quality_section(results: Sequence[Result], models: Sequence[str]) -> Written:
    """Return the section on what the images are worth."""
    main = [one for one in results if ": " not in one.metric]
    single = [_renamed(one) for one in results if ": " in one.metric]
    words = (
        "Smoothness is worth nothing if the images suffer. FD is the Fréchet distance of AlexNet "
        f"features to {main[0].n} held-out images (lower is closer; it is not an Inception FID and "
        "depends on the number of images). Caption adherence is the share of stated attributes "
        "that a classifier finds in the image."
    )
    said = quality_sentence(results, models)
    parts = [
        html.paragraph(words),
        html.table(*table(main)),
        html.paragraph(said),
        html.paragraph(
            f"“{REAL}” are other faces of the data set: what a perfect model would score here. "
            f"“{THROUGH_VAE}” are the held-out faces encoded and decoded: the best that this "
            "model's latents allow.",
            soft=True,
        ),
        html.subsection("Caption adherence by attribute", html.table(*table(single))),
    ]
    found = f"{said[:-1]} (n = {main[0].n} images)." if said else ""
    page = html.section(QUALITY, *parts)
    return Written(html=page, results=results, paper=SMOOTH, found=found)


def quality_sentence(results: Sequence[Result], models: Sequence[str]) -> str:
    """Return what the differences to the base model say about the second model."""
    if len(models) < 2:
        return ""
    base, model = models[:2]
    distance = pick(results, f"{FD}, minus {base}", model)
    share = pick(results, f"{ADHERENCE}, minus {base}", model)
    first = change(
        distance,
        0.0,
        f"The {model} model is closer to real images than the {base} model",
        f"The {model} model is farther from real images than the {base} model",
        f"No difference in distance to real images can be told between {base} and {model}",
    )
    second = change(
        share,
        0.0,
        "it follows captions less well",
        "it follows captions better",
        "no difference in following captions can be told",
    )
    return f"{first}; {second}." if first and second else ""


def sweep_section(results: Sequence[Result]) -> Written:
    """Return the section on adapters of other λ; empty where there are none."""
    if not results:
        return Written(html="")
    wanted = (ISTD, MEAN, RELATIVE, FD, ADHERENCE)
    rows = [
        replace(one, model=one.model.removeprefix(CURVE)) for one in results if one.metric in wanted
    ]
    models = list(dict.fromkeys(one.model for one in rows))
    head, cells = table(rows)
    points = {}
    for model in models:
        istd, share = pick(rows, RELATIVE, model), pick(rows, ADHERENCE, model)
        if istd is not None and share is not None:
            points[model] = (istd.value, share.value)
    turned = [list(column) for column in zip(head, *cells, strict=True)]
    words = (
        "Adapters trained with other λ, all on the same first prompts and captions. Read "
        "smoothness and quality together: a good λ lowers the one and keeps the other."
    )
    plot = trade_off_plot(points, RELATIVE + " (lower is more even)", ADHERENCE)
    parts = [
        html.paragraph(words),
        html.table(["model", *turned[0][1:]], turned[1:]),
        html.plot(plot, "evenness against caption adherence for every λ"),
    ]
    return Written(html=html.section(STRENGTH, *parts), results=results)


def _conditions(content: Content) -> str:
    lines = [*content.conditions, *(f"{key}: {value}" for key, value in environment().items())]
    return html.section(
        "Conditions",
        html.paragraph("results.json beside this page holds every number with its settings."),
        html.folded("Settings and machine", html.preformatted("\n".join(lines))),
    )


def _short(metric: str) -> str:
    return metric.split(RATIO)[0]


def _starting(results: Sequence[Result], metric: str, model: str) -> Result | None:
    return next((r for r in results if r.model == model and r.metric.startswith(metric)), None)


def _renamed(one: Result) -> Result:
    return replace(one, metric=one.metric.split(": ", 1)[1])
