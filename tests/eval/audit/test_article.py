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


def test_a_row_leads_to_where_it_is_taught_and_sources_only_where_they_are():
    lessons = {"Smooth Eq. 3": [("a.html#b", "2 Back & up"), ("c.html", "5 On")]}
    text = article(row_of("Smooth Eq. 3"), {}, None, lessons)
    links = '<a href="a.html#b">2 Back &amp; up</a>, <a href="c.html">5 On</a>'
    assert f'<p class="where">taught in {links}</p>' in text
    assert "core/ddim.py" in text and 'href="../' not in text and ".py" not in links
    assert "taught in" not in article(row_of("Smooth Eq. 3"), {}, "..")
