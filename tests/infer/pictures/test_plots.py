"""Plots: what is drawn is in the SVG, and the page's colours apply."""

from xml.etree import ElementTree

from latentgeo.infer.pictures.plots import INK, distances_plot


def test_a_line_per_model_in_the_pages_ink():
    svg = distances_plot({"base": [1.0, 2.0, 3.0], "smooth": [2.0, 2.0, 2.0]})
    ElementTree.fromstring(svg)
    assert "base" in svg and "smooth" in svg
    assert "currentColor" in svg and INK not in svg


def test_the_same_plot_is_the_same_text():
    assert distances_plot({"a": [1.0, 2.0]}) == distances_plot({"a": [1.0, 2.0]})
