"""Every formula of the ledger is typeset, whole."""

import builtins
import re

import pytest

from latentgeo.eval.audit.ledger import papers, rows
from latentgeo.eval.audit.typeset import formula, prose

INLINE = re.compile(r"(?<!\\)\$([^$]+)\$")


def formulas():
    for row in rows():
        texts = [row.notes, row.printed if row.prose else ""]
        yield from (latex for text in texts for latex in INLINE.findall(text))
        yield from (latex for latex in ("" if row.prose else row.printed, row.here) if latex)
    for paper in papers():
        yield from (latex for pair in paper.notation for t in pair for latex in INLINE.findall(t))


@pytest.mark.parametrize("latex", sorted(set(formulas())))
def test_nothing_is_left_as_latex(latex):
    markup = formula(latex)
    text = re.sub(r"<[^>]+>", "", markup)
    assert markup.startswith("<math") and not re.search(
        r"[\\{}$]|(?<!&lt;)&(?!#|lt;|gt;|amp;)", text
    )


def test_prose_has_its_marks():
    assert prose("`a<b`, **c** < $x$").startswith("<code>a&lt;b</code>, <b>c</b> &lt; <math")


def test_the_library_is_named_where_it_is_missing(monkeypatch):
    def without(name, *rest):
        if name.startswith("latex2mathml"):
            raise ImportError(name)
        return found(name, *rest)

    found = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RuntimeError, match=r"pip install 'latentgeo\[audit\]'"):
        formula("x + not_typeset_before")


def test_lines_are_aligned_and_a_sign_is_none_of_two():
    """Where a minus has nothing before it that it could subtract from, it is a sign."""
    found = formula(r"\begin{aligned} a &= -b \\ &= [-1, -2] - (-c) \end{aligned}")
    assert found.count("<mtr>") == 2 and "&</" not in found
    signs = [len(found.split(one)) - 1 for one in ('<mo form="prefix">&#x02212;', "&#x02212;")]
    assert signs == [4, 5]


def test_a_function_stands_apart_from_what_it_is_of():
    assert '<mi>log</mi><mspace width="0.17em" /><mi>p</mi>' in formula(r"\log p")
    assert "mspace" not in formula(r"\log(p)")
    assert "<mo>&#x0223C;</mo>" in formula(r"x \sim p")


def test_large_fences_with_names_are_fences():
    assert formula(r"\Big\langle a \big\rVert") == formula(r"\langle a \rVert")
