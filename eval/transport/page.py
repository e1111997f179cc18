"""The report's section on couplings: a table and two figures from the rows that were measured.

A sentence claims a difference only where its 95 % interval leaves no doubt about the sign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from latentgeo.eval.page import report as html
from latentgeo.eval.page.plots import intervals_plot, levels_plot
from latentgeo.eval.runs.results import Result, table
from latentgeo.eval.transport.pairs import BINS
from latentgeo.eval.transport.results import LPIPS, METRICS, Compared

OPTIMAL = "optimal"
TITLE = "Walks between prompts"


def section(walks: Mapping[str, Compared], results: Sequence[Result]) -> str:
    """Return the section on the walks of every model, with the results of these walks."""
    parts = [html.paragraph(_opening(walks))]
    for model, one in walks.items():
        own = [row for row in results if row.model == model or row.model.startswith(f"{model}: ")]
        parts.append(html.subsection(model, *_of_model(model, one, own)))
    return html.section(TITLE, *parts)


def sentence(results: Sequence[Result], model: str, coupling: str, first: str) -> str:
    """Return what the pairs say about a coupling: shorter walks, longer ones, or not told."""
    wanted = f"{model}: {coupling}"
    found = {row.metric: row for row in results if row.model == wanted}
    reduction = found.get(f"{LPIPS}, reduction from {first}")
    p = found.get(f"{LPIPS}, Wilcoxon's p against {first}")
    if reduction is None or p is None or reduction.interval is None:
        return ""
    low, high = reduction.interval
    if low > 0:
        words = "is smoother than"
    elif high < 0:
        words = "is less smooth than"
    else:
        words = "cannot be told from"
    change, ends = -reduction.value, [-high, -low]
    return (
        f"The {coupling} coupling {words} the {first} coupling on these {reduction.n} pairs: "
        f"{LPIPS} changes by {change:+.1%} [{ends[0]:+.1%}, {ends[1]:+.1%}] "
        f"(Wilcoxon's p = {p.value:.2g})."
    )


def _opening(walks: Mapping[str, Compared]) -> str:
    pairs = len(next(iter(walks.values())).similarity)
    return (
        "Cross-attention does not see the order of its tokens, so a prompt is a cloud of points, "
        "and a walk from prompt to prompt pairs the points of two clouds: by index, as the "
        "matrices are usually interpolated, by optimal transport, at random, or by optimal "
        "transport of text and padding apart. Is a shorter path through Wasserstein space a "
        f"shorter path of images? {pairs} pairs of captions in {BINS} levels of similarity (cosine "
        "of the embeddings at the end token), the same noises for every coupling; LPIPS between "
        "neighbouring images, which the poster calls PPL, its standard deviation along the walk, "
        "and the pixels' distance in [0, 1]. Lower is smoother."
    )


def _of_model(model: str, walks: Compared, results: Sequence[Result]) -> list[str]:
    others = list(walks.values)[1:]
    by_coupling = [
        replace(row, model=row.model.removeprefix(f"{model}: "))
        for row in results
        if row.model != model and ", similarity " not in row.metric
    ]
    clouds = [row for row in results if row.model == model]
    said = [sentence(results, model, name, walks.reference) for name in others]
    shown = OPTIMAL if OPTIMAL in others else others[0]
    return [
        html.table(*table(by_coupling)),
        html.paragraph(" ".join(said)),
        html.plot(_couplings_plot(by_coupling, list(walks.values)), "LPIPS by coupling"),
        html.plot(similarity_plot(walks, shown), "reduction against similarity of the prompts"),
        html.paragraph("What the clouds are:", soft=True),
        html.table(*table(clouds)),
    ]


def similarity_plot(walks: Compared, coupling: str) -> str:
    """Return each pair's reduction of LPIPS against its similarity, and that of each level."""
    reductions = walks.reductions(coupling)
    points = list(zip(walks.similarity.tolist(), reductions.tolist(), strict=True))
    levels = []
    for level in sorted(set(walks.bins.tolist())):
        chosen = walks.bins == level
        found = walks.reduction(LPIPS, coupling, chosen)
        middle = float(walks.similarity[chosen].mean())
        levels.append((middle, found.value, found.low, found.high))
    label = f"reduction of LPIPS by the {coupling} coupling"
    return levels_plot(points, levels, "similarity of the prompts", label)


def _couplings_plot(results: Sequence[Result], couplings: Sequence[str]) -> str:
    rows = {}
    for name in couplings:
        for row in results:
            if (row.model, row.metric) == (name, METRICS[0]):
                rows[name] = row.span
    return intervals_plot(rows, LPIPS)
