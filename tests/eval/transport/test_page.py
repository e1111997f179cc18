"""The section says what the numbers say, and no more."""

from xml.etree import ElementTree

import pytest

from latentgeo.eval.runs.results import Result
from latentgeo.eval.transport.page import section, sentence, similarity_plot
from latentgeo.eval.transport.results import LPIPS, compared, transport_results


def numbers(low, high, p):
    values = [(f"{LPIPS}, reduction from index", [low, high], (low + high) / 2)]
    values.append((f"{LPIPS}, Wilcoxon's p against index", None, p))
    return [
        Result(paper="OT", metric=m, model="a: optimal", value=v, interval=i, n=7, seed=0)
        for m, i, v in values
    ]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "is smoother than"), (-0.2, -0.1, "less smooth"), (-0.1, 0.2, "cannot be told")],
)
def test_a_claim_needs_an_interval_on_one_side(low, high, words):
    text = sentence(numbers(low, high, 0.03), "a", "optimal", "index")
    assert words in text and "p = 0.03" in text and "7 pairs" in text
    assert f"{-(low + high) / 2:+.1%} [{-high:+.1%}, {-low:+.1%}]" in text
    assert sentence([], "a", "optimal", "index") == ""


def test_section_has_table_sentences_and_both_figures(walk_rows):
    walks = {"a": compared(walk_rows()), "b": compared(walk_rows(pairs=13))}
    results = [one for name in walks for one in transport_results(name, walks[name], 0, {})]
    page = section(walks, results)
    assert page.count("<svg") == 4 and page.count("<table") == 4
    for one in results:
        if ", similarity " not in one.metric:
            assert one.text in page, one.metric
    assert page.count("is smoother than the index coupling") == 2
    assert page.count("is less smooth than the index coupling") == 2


def test_figure_shows_every_pair_and_level(walk_rows):
    svg = similarity_plot(compared(walk_rows()), "optimal")
    ElementTree.fromstring(svg)
    assert "similarity of the prompts" in svg and "optimal coupling" in svg
