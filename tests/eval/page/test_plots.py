"""The report's plots name what they show."""

from xml.etree import ElementTree

from latentgeo.eval.page.plots import (
    curves_plot,
    intervals_plot,
    levels_plot,
    ratios_plot,
    ticks,
    trade_off_plot,
)


def test_intervals_and_trade_offs_carry_their_labels():
    rows = {"ISTD": (0.8, 0.7, 0.9), "relative": (1.0, 0.95, 1.05)}
    for svg, labels in (
        (intervals_plot(rows, "ratio", 1.0), ["ISTD", "relative", "ratio"]),
        (trade_off_plot({"base": (1, 2), "λ = 1": (2, 1)}, "x", "y"), ["base", "λ = 1"]),
        (levels_plot([(1, 2), (2, 1)], [(1.5, 1, 0, 2)], "level", "gain"), ["level", "gain"]),
        (
            ratios_plot(
                {"ISTD": {"a": (0.5, 0.4, 0.7), "b": (2, 1, 3)}, "PPL": {"b": (1, 1, 1)}}, "r"
            ),
            ["ISTD", "PPL", ">a<", ">b<", ">0.5<", ">1<", ">2<"],
        ),
        (curves_plot({"base": [(2, 3, 2, 4), (1, 2, 1, 3)]}, "t", "RTL(t)"), ["base", "RTL(t)"]),
    ):
        ElementTree.fromstring(svg)
        assert all(label in svg for label in labels)


def test_ticks_of_ratios_can_be_read():
    assert ticks(0.4, 3.1) == [0.5, 0.7, 1, 1.4, 2, 3]
    assert ticks(0.008, 5.5) == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    assert ticks(0.0009, 6) == [0.001, 0.01, 0.1, 1]
    assert 1 in ticks(1e-12, 1e12)
