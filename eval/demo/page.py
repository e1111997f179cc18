"""The demo's report: what each picture and number means, in words that follow from the numbers.

A sentence claims a difference only where its 95 % interval leaves no doubt about the sign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from latentgeo.core.run.cli import environment
from latentgeo.eval.metrics.quality import ADHERENCE, FD, REAL, THROUGH_VAE
from latentgeo.eval.page import report as html
from latentgeo.eval.page.plots import intervals_plot, trade_off_plot
from latentgeo.eval.runs.results import RATIO, Result, table
from latentgeo.eval.smooth.sweep import CURVE
from latentgeo.infer.pictures.plots import distances_plot
from latentgeo.infer.sampling.pipeline import Sampling

ISTD = "ISTD, pixels [0,1]"
RELATIVE = "ISTD / mean adjacent distance"
MEAN = "mean adjacent distance"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One interpolation: strips of all models, and the distances along each."""

    caption: str
    strips: Image.Image
    distances: dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a run of the demo found."""

    models: Mapping[str, str]  # name in the report -> model as it is loaded
    sampling: Sampling
    seed: int
    samples: Image.Image
    walks: Sequence[Shown]
    results: Sequence[Result]
    swept: Sequence[Result]  # empty where there is no λ curve
    between: str = ""  # the section on walks between prompts, if there is one
    photos: str = ""  # the section on real images, if there is one
    isometric: str = ""  # the section on an isometric latent space, if there is one
    semantic: str = ""  # the section on edits in h-space, if there is one
    minutes: float


def report(content: Content) -> str:
    """Return the whole page."""
    return html.page(
        "Smooth Diffusion, measured",
        _opening(content),
        _samples(content),
        _walks(content),
        _smoothness(content),
        _quality(content),
        _sweep(content),
        content.photos,
        content.between,
        content.isometric,
        content.semantic,
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
    models = ", ".join(f"{name} is {spec}" for name, spec in content.models.items())
    return html.paragraph(
        "Smooth Diffusion fine-tunes a low-rank adapter so that equal steps in the latent space "
        "become equal steps in the image. This page shows what the adapter does to an embedded "
        f"model, and measures it. Here {models}."
    ) + html.paragraph(
        f"Everything below was computed by one run of {content.minutes:.1f} minutes. Brackets hold "
        "95 % intervals.",
        soft=True,
    )


def _samples(content: Content) -> str:
    names = " and ".join(content.models)
    return html.section(
        "Samples",
        html.paragraph(
            f"A column has one caption and one noise. If {names} show the same face with the same "
            "attributes, the adapter has kept what the model knew."
        ),
        html.picture(content.samples, "grid of samples, a row per model"),
    )


def _walks(content: Content) -> str:
    parts = [
        html.subsection(
            f"“{one.caption}”",
            html.picture(one.strips, f"interpolation under the caption {one.caption}"),
            html.plot(distances_plot(one.distances), "distance of each step, a line per model"),
        )
        for one in content.walks
    ]
    return html.section(
        "Walks through the latent space",
        html.paragraph(
            "Each strip goes from one noise to another in ten equal steps (slerp) under one "
            "caption. The plot beneath is the distance between neighbouring images: a spike is a "
            "jump, a flat line an even walk. ISTD is the standard deviation along such a line."
        ),
        *parts,
    )


def _smoothness(content: Content) -> str:
    smooth = [one for one in content.results if one.paper == "Smooth"]
    own = [one for one in smooth if RATIO not in one.metric]
    ratios = [one for one in smooth if RATIO in one.metric]
    prompts = own[0].n if own else 0
    parts = [
        html.paragraph(
            f"The mean over {prompts} prompts of that standard deviation, by the protocol of the "
            "paper's supplement (Sec. A.3): 11 images, pixel L2 distances, the same prompts and "
            "noises for every model. Lower is smoother. A model whose images change less also has "
            "a lower ISTD, so its ratio to the mean distance is the fairer measure."
        ),
        html.table(*table(own)),
    ]
    if ratios:
        bars = {f"{one.model}: {_short(one.metric)}": one.span for one in ratios}
        parts += [
            html.paragraph(smoothness_sentence(content.results, list(content.models)[1])),
            html.plot(
                intervals_plot(bars, "ratio to the base model (1: no change)", 1.0),
                "ratios to the base model with their intervals",
            ),
        ]
    return html.section("Smoothness", *parts)


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


def _quality(content: Content) -> str:
    rows = [one for one in content.results if one.paper != "Smooth"]
    main = [one for one in rows if ": " not in one.metric]
    single = [_renamed(one) for one in rows if ": " in one.metric]
    images = main[0].n if main else 0
    return html.section(
        "Quality",
        html.paragraph(
            f"Smoothness is worth nothing if the images suffer. FD is the Fréchet distance of "
            f"AlexNet features to {images} held-out images (lower is closer; it is not an "
            "Inception FID and depends on the number of images). Caption adherence is the share "
            "of stated attributes that a classifier finds in the image."
        ),
        html.table(*table(main)),
        html.paragraph(quality_sentence(rows, list(content.models))),
        html.paragraph(
            f"“{REAL}” are other faces of the data set: what a perfect model would score here. "
            f"“{THROUGH_VAE}” are the held-out faces encoded and decoded: the best that this "
            "model's latents allow.",
            soft=True,
        ),
        html.subsection("Caption adherence by attribute", html.table(*table(single))),
    )


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


def _sweep(content: Content) -> str:
    if not content.swept:
        return ""
    wanted = (ISTD, MEAN, RELATIVE, FD, ADHERENCE)
    rows = [
        replace(one, model=one.model.removeprefix(CURVE))
        for one in content.swept
        if one.metric in wanted
    ]
    models = list(dict.fromkeys(one.model for one in rows))
    head, cells = table(rows)
    points = {}
    for model in models:
        istd, share = pick(rows, RELATIVE, model), pick(rows, ADHERENCE, model)
        if istd is not None and share is not None:
            points[model] = (istd.value, share.value)
    turned = [list(column) for column in zip(head, *cells, strict=True)]
    return html.section(
        "Strength of the regularization",
        html.paragraph(
            "Adapters trained with other λ, all on the same first prompts and captions. Read "
            "smoothness and quality together: a good λ lowers the one and keeps the other."
        ),
        html.table(["model", *turned[0][1:]], turned[1:]),
        html.plot(
            trade_off_plot(points, RELATIVE + " (lower is more even)", ADHERENCE),
            "evenness against caption adherence for every λ",
        ),
    )


def _conditions(content: Content) -> str:
    settings = content.sampling.plain() | {"seed": content.seed} | dict(content.models)
    lines = [f"{key}: {value}" for key, value in {**settings, **environment()}.items()]
    return html.section(
        "Conditions",
        html.paragraph("results.json beside this page holds every number with its settings."),
        html.preformatted("\n".join(lines)),
    )


def _short(metric: str) -> str:
    return metric.split(RATIO)[0]


def _starting(results: Sequence[Result], metric: str, model: str) -> Result | None:
    return next((r for r in results if r.model == model and r.metric.startswith(metric)), None)


def _renamed(one: Result) -> Result:
    return replace(one, metric=one.metric.split(": ", 1)[1])
