"""Plots of a report: intervals and trade-offs, as SVG in the style of `infer/pictures/plots.py`."""

from collections.abc import Mapping, Sequence

from latentgeo.infer.pictures.plots import COLOURS, INK, figure, legend, svg

TICKS = (  # of ratios, the first that reach far enough and have room
    (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5, 10),
    tuple(factor * 10.0**power for power in range(-4, 4) for factor in (1, 2, 5)),
    tuple(10.0**power for power in range(-9, 10)),
)
ROOM = 10  # ticks at most


def intervals_plot(
    rows: Mapping[str, tuple[float, float, float]], label: str, reference: float | None = None
) -> str:
    """Return a dot and its interval per row (value, low, high), as SVG; `reference` is dotted."""
    drawing, axes = figure(0.3 + 0.32 * len(rows))
    for place, (value, low, high) in enumerate(rows.values()):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], "o", color=colour)
    if reference is not None:
        axes.axvline(reference, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label)
    return svg(drawing)


def ratios_plot(rows: Mapping[str, Mapping[str, tuple[float, float, float]]], label: str) -> str:
    """Return a row per metric with a dot per model and its interval, on a logarithmic axis, as SVG.

    `rows` are ratios (value, low, high) by metric, then by model; all are positive. 1 is dotted.
    """
    models = list(dict.fromkeys(model for row in rows.values() for model in row))
    drawing, axes = figure(0.6 + 0.18 * len(rows) * (len(models) + 1))
    axes.set_xscale("log")
    for number, (model, colour) in enumerate(zip(models, COLOURS * len(models), strict=False)):
        shift = (number - (len(models) - 1) / 2) / (len(models) + 1)
        found = [(i + shift, *row[model]) for i, row in enumerate(rows.values()) if model in row]
        for y, _, low, high in found:
            axes.plot([low, high], [y, y], color=colour, linewidth=2)
        axes.plot([one[1] for one in found], [one[0] for one in found], "o", color=colour,
                  label=model, markersize=4)  # fmt: skip
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=":")
    low, high = axes.get_xlim()
    axes.set_xticks(ticks(low, high))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label)
    legend(drawing)
    return svg(drawing)


def ticks(low: float, high: float) -> list[float]:
    """Return numbers between two on a logarithmic axis, as many as can be read; 1 among them."""
    far = [some for some in TICKS if some[0] <= low and high <= some[-1]] or TICKS[-1:]
    every = [[tick for tick in some if low <= tick <= high] for some in far]
    return next((some for some in every if len(some) <= ROOM), every[-1])


def trade_off_plot(points: Mapping[str, tuple[float, float]], x_label: str, y_label: str) -> str:
    """Return labelled points (x, y) as SVG."""
    drawing, axes = figure(2.2)
    for (label, (x, y)), colour in zip(points.items(), COLOURS * len(points), strict=False):
        axes.plot([x], [y], "o", color=colour)
        axes.annotate(
            label, (x, y), textcoords="offset points", xytext=(6, 4), color=INK, fontsize=9
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.margins(0.15)
    return svg(drawing)


def levels_plot(
    points: Sequence[tuple[float, float]],
    levels: Sequence[tuple[float, float, float, float]],
    x_label: str,
    y_label: str,
) -> str:
    """Return points (x, y), and over them levels (x, mean, low, high) with intervals, as SVG."""
    drawing, axes = figure(2.6)
    axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.plot(*zip(*points, strict=True), "o", color=COLOURS[1], markersize=3, alpha=0.45)
    for x, mean, low, high in levels:
        axes.plot([x, x], [low, high], color=COLOURS[0], linewidth=2)
        axes.plot([x], [mean], "o", color=COLOURS[0])
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return svg(drawing)


def curves_plot(
    curves: Mapping[str, Sequence[tuple[float, float, float, float]]], x_label: str, y_label: str
) -> str:
    """Return a line per label through points (x, mean, low, high), its interval shaded, as SVG."""
    drawing, axes = figure(2.6)
    for (label, points), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
        x, mean, low, high = zip(*sorted(points), strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, mean, "o-", color=colour, label=label, linewidth=1.6, markersize=3)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    legend(drawing)
    return svg(drawing)
