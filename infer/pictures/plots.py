"""Plots as SVG that read on a light and on a dark page.

Text and axes take the page's own text colour (CSS `currentColor`), the ground stays transparent,
and the series' hues keep a contrast of 3:1 on white and on near-black. Nothing here opens a window
or touches pyplot's global state.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour until the SVG is written
COLOURS = ("#d9622b", "#3d85c6", "#5b9a4b", "#a267b8", "#8a8272")  # first series, second, ...
WIDTH = 7.2  # inches, of 72 SVG points


def distances_plot(
    distances: Mapping[str, Sequence[float]], unit: str = "[0,1]", place: bool = False
) -> str:
    """Return the adjacent distances along one interpolation, a line per model, as SVG.

    A flat line is an even walk: its standard deviation is what ISTD averages over prompts. With
    `place` there are two upright lines, `place` at the first image and `end`, unseen, at the last.
    """
    drawing, axes = figure(1.9)
    for (label, values), colour in zip(distances.items(), COLOURS * len(distances), strict=False):
        steps = range(1, len(values) + 1)
        axes.plot(steps, values, "o-", color=colour, label=label, linewidth=1.6, markersize=4)
    last = max(map(len, distances.values()))
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(1, last + 1))
    for name, x in (("place", 0.5), ("end", last + 0.5)) if place else ():  # image i is at i + 1/2
        axes.axvline(x, color=INK, linewidth=1, gid=name, alpha=float(name == "place"))
    axes.set_xlabel("step of the interpolation")
    axes.set_ylabel(f"L2 distance, {unit}")
    legend(drawing)
    return svg(drawing)


def legend(drawing: "Figure") -> None:
    """Say above the axes, where it hides nothing, whose each colour is."""
    drawing.legend(frameon=False, labelcolor=INK, fontsize=9, ncols=4, loc="outside upper center")


def figure(height: float) -> tuple["Figure", "Axes"]:
    """Return an empty figure with a plot of `height` inches, no ground, in the page's ink."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(WIDTH, height + 0.7), layout="constrained")
    drawing.patch.set_alpha(0)
    axes = drawing.add_subplot()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(alpha=0.25, color=INK, linewidth=0.5)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
        label.set_fontsize(9)
    return drawing, axes


def svg(drawing: "Figure") -> str:
    """Return the figure as an <svg> element, the same text for the same figure."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "latentgeo"}):
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
