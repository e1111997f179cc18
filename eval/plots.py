"""Plots of a report: intervals and trade-offs, as SVG in the style of `infer/plots.py`."""

from collections.abc import Mapping, Sequence

from latentgeo.infer.plots import COLOURS, INK, figure, svg


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
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return svg(drawing)
