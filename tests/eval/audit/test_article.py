"""A row on the page: anchors and chips."""

from latentgeo.eval.audit.article import anchor_of, article, chip
from latentgeo.eval.audit.ledger import row_of


def test_anchors_are_names():
    assert anchor_of("Iso Sec. 4.1b") == "Iso-Sec-4-1b"


def test_chips_have_the_class_of_their_verdict():
    assert chip("as released") == '<span class="chip as-released">as released</span>'


def test_print_stands_above_what_is_computed():
    text = article(row_of("Smooth Eq. 3"), {}, "..")
    assert text.index(">printed<") < text.index(">here<") < text.index("../core/ddim.py")
    assert ">printed<" not in article(row_of("Smooth Eq. 1"), {}, "..")
