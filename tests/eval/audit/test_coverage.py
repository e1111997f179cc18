"""What the papers' texts say, taken apart, and the lists of who answers for it."""

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.audit import coverage as audit_coverage
from latentgeo.eval.audit.coverage import LISTS, NOT, TEXTS, Item, coverage, covered, items

TEXT = r"""A TITLE

3.1 A HEADING WITH 7 WORDS

We do so as others did (Ho et al., 2020) in Fig. 2, see Sec. 4.1 and $x_0$. The scale is 7.5. A
fixed one, e.g. Ours, is better.

$$a = b$$

Figure 2: A picture.

1	2	3

```
step 1
```

References

- A paper of 2020 with $c = 3$.

Table 1: In the list of references.

A FURTHER MATTER

So $r = 3$ here.
"""


def test_a_text_is_formulas_captions_algorithms_and_sentences_with_numbers():
    found = [(one.kind, " ".join(one.text.split())) for one in items(TEXT)]
    assert found == [
        ("sentence", "The scale is 7.5."),
        ("formula", "a = b"),
        ("caption", "Figure 2: A picture."),
        ("algorithm", "step 1"),
        ("caption", "Table 1: In the list of references."),
        ("sentence", "So $r = 3$ here."),
    ]


def test_a_key_is_of_letters_and_digits():
    one = Item("sentence", r"The scale is **7.5**.")
    assert one.key == Item("sentence", "the scale is 7.5 ").key != Item("caption", one.text).key
    assert one.key != Item("sentence", "The scale is 7.6.").key
    assert one.begins == "The scale is 7.5" and Item("caption", "Figure 2: A").begins == "Figure 2"


def written(folder, answers, text=TEXT):
    """A list and its text, held against each other."""
    lines = [
        f"| `{one.key}` | words | {answer} |"
        for one, answer in zip(items(TEXT), answers, strict=False)
    ]
    (folder / "list.md").write_text("\n".join(lines))
    (folder / "text.md").write_text(text)
    return covered(folder / "list.md", folder / "text.md")


ANSWERS = ["Smooth Eq. 5, Smooth Eq. 6", *["Iso Eq. 2"] * 4, f"{NOT}a reason"]


def test_a_list_covers_its_text(tmp_path):
    found = written(tmp_path, ANSWERS)
    assert found.read and not found.gaps and found.key == "Iso"
    assert str(found) == "list: 6 = 5 by rows + 1 not applicable; no gap"


@pytest.mark.parametrize(
    ("answers", "text", "gap"),
    [
        (ANSWERS[:5], TEXT, "So here: not in the list"),
        (ANSWERS, TEXT.replace("7.5", "8"), "The scale is 8: not in the list"),
        (ANSWERS, TEXT.replace("$$a = b$$", ""), "words: not in the text"),
        ([*ANSWERS[:5], NOT], TEXT, "words: no row, and no reason why not"),
        ([*ANSWERS[:5], "later"], TEXT, "words: no row, and no reason why not"),
        ([*ANSWERS[:5], "Iso Eq. 99"], TEXT, "words: no row Iso Eq. 99"),
    ],
)
def test_gaps_are_named(tmp_path, answers, text, gap):
    assert any(gap in one for one in written(tmp_path, answers, text).gaps)


@pytest.mark.parametrize("path", sorted(LISTS.glob("*.md")), ids=lambda path: path.stem)
def test_every_line_of_the_texts_has_a_row_or_a_reason(path):
    found = covered(path, TEXTS / path.name)
    assert not found.gaps
    if not found.read:
        pytest.skip(f"{TEXTS} has no text to hold the list against")


def test_every_text_has_a_list():
    if not TEXTS.is_dir():
        pytest.skip(f"{TEXTS} is not there")
    assert {path.name for path in LISTS.glob("*.md")} == {path.name for path in TEXTS.glob("*.md")}


def test_the_command_prints_the_lists_and_fails_at_a_gap(capsys, monkeypatch, tmp_path):
    assert main(["audit", "--coverage", "--paper", "OT"]) == 0
    shown = capsys.readouterr().out
    assert "OT Sec. 5b" in shown and "embedding-geometry: 10 = 9 by rows" in shown
    assert "asyrp" not in shown
    monkeypatch.setattr(audit_coverage, "LISTS", tmp_path)
    monkeypatch.setattr(audit_coverage, "TEXTS", tmp_path / "none")
    (tmp_path / "list.md").write_text("| `0badf00d` | words | later |")
    assert main(["audit", "--coverage"]) == 1
    said = capsys.readouterr()
    assert "gap: 0badf00d words: no row, and no reason why not" in said.out
    assert "1 gaps" in said.err
    assert [one.name for one in coverage()] == ["list"]
