"""The chapters' plots: what is named is written, what is drawn is in its colour."""

import re

from latentgeo.eval.course.plots import dots_plot, lines_plot
from latentgeo.infer.pictures.plots import COLOURS, INK

UP, DOWN = ([1.0, 10.0, 100.0], [1.0, 2.0, 4.0]), ([1.0, 100.0], [4.0, 1.0])


def test_lines_have_their_labels_scales_and_level():
    svg = lines_plot({"up": UP, "down": DOWN}, "steps", "error", x_scale="log", reference=2.0)
    assert svg.startswith("<svg") and INK not in svg
    assert all(f">{word}</text>" in svg for word in ("up", "down", "steps", "error"))
    assert all(f"stroke: {colour}" in svg for colour in COLOURS[:2])
    assert "10^{2}" in svg or re.search(r">10</tspan>", svg)  # a tick of a logarithmic axis
    plain = lines_plot({"up": UP}, "steps", "error")
    assert ">up</text>" not in plain and "stroke-dasharray" not in plain
    assert "stroke-dasharray" in svg


def test_dots_are_not_joined():
    svg = dots_plot({"cloud": UP, "other": DOWN}, "x", "y")
    assert svg.count("<use ") >= 5 and ">cloud</text>" in svg
    assert svg == dots_plot({"cloud": UP, "other": DOWN}, "x", "y")
