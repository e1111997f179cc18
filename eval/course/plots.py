"""Plots of the chapters, as SVG that reads on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from latentgeo.infer.pictures.plots import COLOURS, INK, figure, legend, svg

Curve = tuple[Sequence[float], Sequence[float]]  # x and y
Scale = Literal["linear", "log"]


def lines_plot(
    curves: Mapping[str, Curve],
    x_label: str,
    y_label: str,
    *,
    height: float = 2.4,
    x_scale: Scale = "linear",
    y_scale: Scale = "linear",
    reference: float | None = None,
) -> str:
    """Return a line per label, as SVG; `height` in inches, `reference` is a dotted level."""
    drawing, axes = figure(height)
    for (label, (x, y)), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
        axes.plot(x, y, color=colour, label=label, linewidth=1.8)
    if reference is not None:
        axes.axhline(reference, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xscale(x_scale)
    axes.set_yscale(y_scale)
    axes.minorticks_off()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(curves) > 1:
        legend(drawing)
    return svg(drawing)


def dots_plot(
    clouds: Mapping[str, Curve], x_label: str, y_label: str, *, height: float = 3.0
) -> str:
    """Return a cloud of points per label, as SVG; `height` in inches."""
    drawing, axes = figure(height)
    for (label, (x, y)), colour in zip(clouds.items(), COLOURS * len(clouds), strict=False):
        axes.plot(x, y, "o", color=colour, label=label, markersize=3, alpha=0.7)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(clouds) > 1:
        legend(drawing)
    return svg(drawing)
