"""The report of `latentgeo compare`: ratios to the base in one plot, walks, and every number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from latentgeo.core.run.cli import environment
from latentgeo.eval.compare.measure import Outcome
from latentgeo.eval.demo.page import change
from latentgeo.eval.demo.walks import Shown
from latentgeo.eval.isometric.results import is_headline
from latentgeo.eval.metrics.quality import ADHERENCE
from latentgeo.eval.page import report as html
from latentgeo.eval.page.plots import ratios_plot
from latentgeo.eval.runs.results import RATIO, Result, table
from latentgeo.eval.transport.results import CLOUDS
from latentgeo.infer.pictures.plots import distances_plot
from latentgeo.infer.sampling.pipeline import Sampling

WORDS = {  # metric of the command -> title, what it is
    "istd": (
        "Evenness of walks (ISTD)",
        "Standard deviation of the pixel distances between neighbours along a walk of noise under "
        "one caption, and the same over their mean.",
    ),
    "ppl": ("Perceptual path length", "LPIPS of two places of an arc that are close, over ε²."),
    "mrtl": (
        "Relative trajectory length",
        "How much longer the way of h is than the straight line, along arcs of noise.",
    ),
    "jacobian": (
        "Conditioning of the encoder",
        "Condition number (MCN) and variance (VoR) of the singular values of the map from noisy "
        "latents to h.",
    ),
    "reconstruction": (
        "Inversion",
        "Held-out images inverted by DDIM without guidance and made again.",
    ),
    "quality": (
        "Quality",
        "Fréchet distance of AlexNet features to held-out images (no Inception FID), and the share "
        "of stated attributes that a classifier finds.",
    ),
    "transport": (
        "Walks between prompts",
        "LPIPS between neighbours when the tokens of two prompts are paired by index or by optimal "
        "transport.",
    ),
    "edit": (
        "Edits by text",
        "One attribute of a held-out image's caption is changed: is it there, are the others kept?",
    ),
    "separability": ("Linear separability", "Entropy of attributes given the side of x_T."),
}
ASIDE = (", similarity ", "Wilcoxon", "rank correlation", f"{ADHERENCE}: ", *CLOUDS.values())


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a comparison found."""

    models: Mapping[str, str]  # name -> model as it is loaded, the base first
    sampling: Sampling
    seed: int
    outcomes: Mapping[str, Outcome]  # by metric of the command
    seconds: Mapping[str, float]  # that each took in this run
    samples: Image.Image
    walks: Sequence[Shown]


def report(content: Content) -> str:
    """Return the whole page."""
    return html.page(
        "Adapters of one model, compared",
        _opening(content),
        _ratios(content),
        _walks(content),
        html.section(
            "Samples",
            html.paragraph("A column has one caption and one noise."),
            html.picture(content.samples, "grid of samples, a row per model"),
        ),
        *(_numbers(name, one) for name, one in content.outcomes.items()),
        _conditions(content),
    )


def ratios(outcomes: Mapping[str, Outcome]) -> list[Result]:
    """Return the ratios to the base that are shown, under their metric's name alone."""
    return [
        replace(one, metric=f"{metric} ({outcome.better[metric]} is better)")
        for outcome in outcomes.values()
        for metric in outcome.better
        for one in outcome.results
        if one.metric.startswith(f"{metric}{RATIO}")
    ]


def plotted(content: Content) -> str:
    """Return the plot of all ratios as SVG."""
    rows: dict[str, dict[str, tuple[float, float, float]]] = {}
    for one in ratios(content.outcomes):
        rows.setdefault(one.metric, {})[one.model] = one.span
    base = next(iter(content.models))
    return ratios_plot(rows, f"ratio to {base}, with its 95 % interval (1: no change)")


def verdict(outcomes: Mapping[str, Outcome], model: str) -> str:
    """Return in which metrics a model is better than the base, worse, or not told apart."""
    kinds: dict[str, list[str]] = {"better in": [], "worse in": [], "not told apart in": []}
    for outcome in outcomes.values():
        for metric, good in outcome.better.items():
            low, high = ("better in", "worse in") if good == "lower" else ("worse in", "better in")
            for one in outcome.results:
                if one.model == model and one.metric.startswith(f"{metric}{RATIO}"):
                    kinds[change(one, 1.0, low, high, "not told apart in")].append(metric)
    said = [f"{words} {', '.join(metrics)}" for words, metrics in kinds.items() if metrics]
    return f"{model}, beside the base: {'; '.join(said)}."


def _opening(content: Content) -> str:
    models = "; ".join(f"{name} is {spec}" for name, spec in content.models.items())
    return html.paragraph(
        "An adapter for a smooth latent space, one for an isometric one, and both at once, on one "
        f"model, by every metric. {models}."
    ) + html.paragraph(
        f"Everything below was computed with seed {content.seed}. Brackets hold 95 % intervals; "
        "ratios are paired by prompt, noise or image. The geometry of h (path and trajectory "
        "length, conditioning) is measured under held-out captions without guidance.",
        soft=True,
    )


def _ratios(content: Content) -> str:
    found = ratios(content.outcomes)
    head, rows = table(found)
    sizes = {one.metric: one.n for one in found}
    return html.section(
        "Beside the base",
        html.plot(plotted(content), "every metric of every model as a ratio to the base"),
        *(html.paragraph(verdict(content.outcomes, name)) for name in list(content.models)[1:]),
        html.table([*head, "n"], [[*row, str(sizes[row[0]])] for row in rows]),
    )


def _walks(content: Content) -> str:
    parts = [
        html.subsection(
            f"“{one.caption}”",
            html.picture(one.strips, f"the same walk by every model, under {one.caption}"),
            html.plot(distances_plot(one.distances), "distance of each step, a line per model"),
        )
        for one in content.walks
    ]
    words = "The same two noises under one caption, in equal steps of slerp, by every model."
    return html.section("One walk, every model", html.paragraph(words), *parts)


def _numbers(name: str, outcome: Outcome) -> str:
    title, words = WORDS[name]
    rows = [one for one in outcome.results if is_headline(one) and not _is_detail(one)]
    sizes = ", ".join(map(str, sorted({one.n for one in rows})))
    note = html.paragraph(f"n = {sizes}. results.json holds all numbers.", soft=True)
    return html.section(title, html.paragraph(words), html.table(*table(rows)), note)


def _is_detail(one: Result) -> bool:
    """Whether a result is a ratio that the first table has, or one of many of a kind."""
    return RATIO in one.metric or any(word in one.metric for word in ASIDE)


def _conditions(content: Content) -> str:
    took = {f"seconds, {name}": f"{value:.0f}" for name, value in content.seconds.items()}
    settings = content.sampling.plain() | {"seed": content.seed} | dict(content.models)
    lines = [f"{key}: {value}" for key, value in {**settings, **took, **environment()}.items()]
    return html.section(
        "Conditions",
        html.paragraph("Rows that were there already took no time."),
        html.preformatted("\n".join(lines)),
    )
