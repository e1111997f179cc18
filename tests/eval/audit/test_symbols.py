"""Colours go to symbols that formula and code share, each its own."""

from latentgeo.eval.audit.symbols import NAMES, colours, of_name


def test_only_what_both_have_is_coloured():
    found = colours("x\u03f5+\u03b2", {"eps", "x_t", "weight"})
    assert set(found) == {"x", "\u03f5"} and len(set(found.values())) == 2
    assert of_name("x_t", found) == found["x"] and of_name("beta", found) == 0


def test_a_name_is_of_one_symbol():
    names = [name for known in NAMES.values() for name in known]
    assert len(names) == len(set(names))
