"""What is collected over chapters: their list, glossary, and index of symbols."""

from pathlib import Path

from latentgeo.eval.course.book.indexes import contents, glossary, symbol_index
from latentgeo.eval.course.text import Chapter

TEXT = "# {title}\n\nA lead\nof {title}.\n\n## Why\n\n## Symbols\n\n| s | m | r |\n| - | - | - |\n"


def chapter(number: int, name: str, symbols: str, terms: str) -> Chapter:
    text = TEXT.format(title=name.title()) + symbols + "\n\n## Terms\n\n" + terms
    return Chapter(number, name, text, Path(f"{number:02}-{name}.md"))


X_T = "| $x_t$ | noisy | (B,) |\n"
ONE = chapter(1, "noise", X_T + "| $\\bar\\alpha$ | left | 0 … 1 |", "- **b**: B.")
TWO = chapter(2, "back", X_T + "| $w$ | scale | 0 … |", "- **b**: C.\n- **A**: D.")


def test_the_list_of_chapters_is_put_between_its_marks():
    start = "# Course\n\n<!--chapters-->\nold\n<!--/chapters-->\n\nEnd."
    wanted = (
        "# Course\n\n<!--chapters-->\n1. [Noise](01-noise.md). A lead of Noise.\n"
        "2. [Back](02-back.md). A lead of Back.\n<!--/chapters-->\n\nEnd."
    )
    assert contents(start, (ONE, TWO)) == wanted == contents(wanted, (ONE, TWO))


def test_a_term_has_its_first_meaning_and_all_its_places():
    assert glossary((ONE, TWO)) == (
        "# Glossary\n\n- **A**: D. [2](02-back.md)\n- **b**: B. [1](01-noise.md), [2](02-back.md)\n"
    )


def test_symbols_are_sorted_by_their_letters():
    """ᾱ is under alpha; one symbol of two chapters is one line."""
    assert symbol_index((ONE, TWO)).splitlines()[4:] == [
        "| $\\bar\\alpha$ | left | 0 … 1 | [1](01-noise.md) |",
        "| $w$ | scale | 0 … | [2](02-back.md) |",
        "| $x_t$ | noisy | (B,) | [1](01-noise.md), [2](02-back.md) |",
    ]
