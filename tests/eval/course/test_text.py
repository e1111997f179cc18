"""The chapters as data: what the parser finds in a text, and what it refuses."""

from pathlib import Path

import pytest

from latentgeo.eval.course.text import (
    Chapter,
    chapter_of,
    chapters,
    exercises,
    plain,
    symbols,
    terms,
    unmarked,
)
from latentgeo.eval.page.numbers import filled, formatted, stale

TEXT = """# Going back

How noise becomes
an image.

## Why

Half of it, <!--=half-->0.0<!--/-->, and $0.25$ of
[DDIM Eq. 9](../../../core/papers/ddim.md#ddim-eq-9).

Code: [core/ddim.py, step](../../../core/ddim.py), [core/ddim.py, sigma](../../../core/ddim.py)

## Exercises

Some.

### Exercise ddim-step: one step

Write it.

### Exercise ddim-sigma: its noise

Write that.

## Symbols

| symbol | meaning | shape or range |
| :-- | :-- | :-- |
| $\\eta$ | scale of the noise | [0, 1] |
| $x_t$ | noisy data | (B, …) |

## Terms

- **step**: from one time
  to the next.
- **flow**: what many steps *tend* to.
"""
TOML = """
[[exercise]]
key = "ddim-sigma"
functions = ["core/ddim.py:sigma"]
hint = "at eta = 1 it is known"

[[exercise]]
key = "ddim-step"
functions = ["core/ddim.py:step"]
hint = "two terms"
triton = true
"""


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    (tmp_path / "02-going-back.md").write_text(TEXT, encoding="utf-8")
    (tmp_path / "02-going-back.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "glossary.md").write_text("# Glossary", encoding="utf-8")
    (found,) = chapters(tmp_path)
    return found


def test_a_chapter_has_its_parts(chapter):
    assert (chapter.number, chapter.name, chapter.script) == (2, "going-back", "going_back")
    assert (chapter.title, chapter.lead) == ("Going back", "How noise becomes\nan image.")
    assert chapter.code == ("core/ddim.py:step", "core/ddim.py:sigma")
    assert chapter.tags == ("DDIM Eq. 9",)
    assert chapter.figures == chapter.path.parent / "figures" / "going-back"
    assert chapter.section("Nothing") == ""


def test_exercises_join_text_and_toml_in_the_order_of_the_text(chapter):
    step, sigma = exercises(chapter)
    assert (step.key, step.title, step.text) == ("ddim-step", "one step", "Write it.")
    assert step.functions == ("core/ddim.py:step",) and step.triton and step.hint == "two terms"
    assert (sigma.text, sigma.triton) == ("Write that.", False)


def test_an_exercise_without_a_text_is_refused(chapter):
    path = chapter.path.with_suffix(".toml")
    path.write_text(TOML.replace("ddim-step", "ddim-stop"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^02-going-back.toml: got exercises .*ddim-stop"):
        exercises(chapter)


def test_symbols_and_terms_are_read(chapter):
    assert symbols(chapter) == (
        (r"$\eta$", "scale of the noise", "[0, 1]"),
        ("$x_t$", "noisy data", "(B, …)"),
    )
    assert terms(chapter) == {
        "step": "from one time to the next.",
        "flow": "what many steps *tend* to.",
    }


@pytest.mark.parametrize(
    ("value", "like", "written"),
    [
        (0.38490018, "0.000", "0.385"),
        (-0.04, "0.0", "0.0"),
        (-0.06, "0.0", "−0.1"),
        (997.4, "0", "997"),
        (1234.56, "1,000.0", "1,234.6"),
        (2.22e-16, "1.0e-3", "2.2e-16"),
        (31234.0, "1.00e5", "3.12e4"),
        (-31234.0, "1.00e5", "−3.12e4"),
    ],
)
def test_a_number_has_the_form_of_the_one_typed(value, like, written):
    assert formatted(value, like) == written
    assert formatted(value, written.replace("−", "")) == written


def test_numbers_are_filled_in_and_stale_ones_found():
    numbers = {"half": 0.5}
    assert stale(TEXT, numbers) == ["half: 0.0 is written, 0.5 was computed"]
    assert stale(filled(TEXT, numbers), numbers) == []
    assert plain(filled("<!--a-->" + TEXT, numbers)) == TEXT.replace(
        "<!--=half-->0.0<!--/-->", "0.5"
    )
    with pytest.raises(ValueError, match=r"^half: no result has this number"):
        filled(TEXT, {"third": 1 / 3})


def test_a_decimal_that_nobody_computed_is_found():
    text = (
        "It is 0.5, <!--=a-->0.25<!--/-->, <!--print-->0.1<!--/-->, $1.5$, `2.5`, "
        "[Iso Sec. 4.1](x#1.1), 16 of them and 1,000.75.\n\n```math\n3.5\n```\n"
    )
    assert unmarked(text) == ["0.5", "1,000.75"]


def test_a_chapter_that_is_not_there_is_refused(chapter):
    folder = chapter.path.parent
    assert chapter_of(2, folder) == chapter_of("going-back", folder) == chapter
    wanted = r"^chapter: got going, wanted one of 2 going-back; did you mean going-back\?$"
    with pytest.raises(ValueError, match=wanted):
        chapter_of("going", folder)
