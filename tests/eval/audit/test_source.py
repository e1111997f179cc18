"""What of a source is seen at first, and how it is marked."""

from latentgeo.eval.audit.source import essence, names_in, numbered

SOURCE = '''@cache
def f(x, eps):
    """Return.

    More.
    """
    y = x  # why
    if y < 1:
        return "s"
    return y + eps'''


def test_the_body_comes_without_its_docstring():
    assert essence(SOURCE) == [6, 7, 8, 9]
    assert essence('class A:\n    """Only words."""') == []
    assert essence("    def m(self):\n        a = 1\n" + "        a += 1\n" * 9) == [1, 2, 3, 4, 5]


def test_lines_keep_their_numbers_and_lose_their_indent():
    shown = numbered(SOURCE, 41, essence(SOURCE), {})
    lines = shown.split("\n")
    assert lines[0] == '<span class="n">47</span>  y = x  <span class="c"># why</span>'
    assert lines[1].endswith('<span class="k">if</span> y &lt; 1:')
    assert lines[2].endswith('    <span class="k">return</span> <span class="s">"s"</span>')
    assert "\u2026" not in shown and numbered(SOURCE, 1, [6], {}).endswith("\u2026")


def test_a_symbol_of_the_formula_has_its_colour_in_the_code():
    assert {"x", "eps", "y"} <= names_in(SOURCE)
    shown = numbered(SOURCE, 1, None, {"\u03f5": 3})
    assert 'y + <span class="y3">eps</span>' in shown
