"""Numbers of pages come from results, in the form that is typed; no tracked page is stale."""

import re
from pathlib import Path

import pytest

from latentgeo.eval.page.numbers import MARK, filled, formatted, stale, value_of, written
from latentgeo.eval.zoo.measured import pages, tracked, values

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (0.38549, "0.000", "0.385"),
        (-0.3, "0.1", "−0.3"),
        (-0.04, "0.1", "0.0"),
        (2.8, "+0.0", "+2.8"),
        (-2.8, "+0.0", "−2.8"),
        (1234567.2, "1,000", "1,234,567"),
        (7.3e-5, "1e-5", "7e-5"),
        (0.00012345, "1.00e-3", "1.23e-4"),
    ],
)
def test_a_number_has_the_form_of_the_one_that_is_typed(value, like, text):
    assert formatted(value, like) == text


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        ((2.434, 2.151, 2.703, 100), "0.00 [0.00, 0.00]", "2.43 [2.15, 2.70]"),
        ((0.5, 0, 0.163, 20), "0.0 [0, 0.16]", "0.5 [0, 0.16]"),
        ((-0.049, -0.072, -0.026, 5), "+1.0 % [1.0, 1.0]", "−4.9 % [−7.2, −2.6]"),
        ("2026-11-30", "D", "2026-11-30"),
        (0.61234, "0.0", "0.6"),
    ],
)
def test_value_interval_percent_and_text(value, like, text):
    assert written(value, like) == text


def test_too_few_numbers_are_refused():
    with pytest.raises(ValueError, match="got 3 numbers, wanted 1 to 1"):
        written(0.5, "0.0 [0.0, 0.0]")


def test_what_is_derived():
    known = {"a.b": [0.56, 0.5, 0.61, 100]}
    assert value_of("a.b.less", known) == pytest.approx((0.44, 0.39, 0.5))
    assert value_of("a.b.negated", known) == (-0.56, -0.61, -0.5)
    assert (value_of("a.b.n", known), value_of("a.b.high", known)) == (100, 0.61)
    assert value_of("a.c", known) is None and value_of("a.b.other", known) is None


def test_a_page_is_filled_in_and_a_stale_number_found():
    page = "x <!--=a.b-->0.5 [0, 1]<!--/--> y <!--=a.b.less-->50 %<!--/-->"
    known = {"a.b": [0.56, 0.5, 0.61]}
    new = filled(page, known)
    assert re.sub("<!--.*?-->", "", new) == "x 0.6 [0, 1] y 44 %"
    assert not stale(new, known)
    assert stale(page, known) == [
        "a.b: 0.5 [0, 1] is written, 0.6 [0, 1] was computed",
        "a.b.less: 50 % is written, 44 % was computed",
    ]


def test_a_key_without_a_result_is_refused_or_stays():
    page = "<!--=a.b-->0.5<!--/-->"
    with pytest.raises(ValueError, match=r"a\.b: no result has this number"):
        filled(page, {})
    assert filled(page, {}, strict=False) == page


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_number_of_a_page_is_that_of_the_results(page):
    assert stale(page.read_text(encoding="utf-8"), values(tracked(ROOT))) == []


AVATARS = "models/zoo/avatars/README.md"


@pytest.mark.parametrize(
    ("page", "title", "least"),
    [
        ("README.md", "What the demo measures today", 12),
        (AVATARS, "Walks between prompts", 25),
        (AVATARS, "The adapters beside each other", 36),
    ],
)
def test_no_figure_of_a_table_is_typed(page, title, least):
    """But for those in a row's name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| .*? \| (.*) \|$", section, flags=re.M)
    assert sum(len(MARK.findall(row)) for row in rows) >= least
    assert not [row for row in rows if re.search(r"\d\.\d", MARK.sub("", row))]
