"""A chapter's Markdown in HTML: what is put on top of what the library does."""

import io
import json
import re

import pytest
from PIL import Image

from latentgeo.eval.course.book.markdown import Around, body, line, slug
from latentgeo.eval.course.computed import Computed, files

FRAMES = {f"t = {i}": Image.new("RGB", (5, 3)) for i in range(7)}
FOUND = files(
    Computed(
        numbers={},
        pictures={"line": "<svg width='3'/>", "face": FRAMES["t = 0"]},
        frames={"walk": FRAMES},
    )
)
AROUND = Around(files=FOUND, captions={"walk": list(FRAMES)}, hints={"step": "two `terms`"})
ROW = "[DDIM Eq. 9](../../../core/papers/ddim.md#ddim-eq-9)"


def html(text: str) -> str:
    return body(text, AROUND)[0]


def test_equations_are_typeset_in_lines_and_on_their_own():
    found = html("So $x_t$ is\n\n```math\n\\sqrt{1 - \\beta}\n```\n\nand\n\n$$y$$\n")
    assert found.count('<div class="equation"><math display="block">') == 2
    assert (
        '<math display="inline"><mrow><msub><mi>x</mi><mi>t</mi></msub></mrow></math> is' in found
    )
    assert "$" not in found and "<msqrt>" in found


def test_a_comma_stays_with_its_formula():
    found = html("Of $x$, $y$ ($z$).")
    assert found.count('<span class="one">') == 2
    assert "</math>,</span> <math" in found and "</math>).</span></p>" in found


def test_code_is_that_of_the_tree_with_its_lines():
    found = html("Code: [core/ddim.py, sigma](../../../core/ddim.py)")
    assert re.search(r"<figcaption><code>core/ddim.py:\d+ sigma</code></figcaption>", found)
    assert '<span class="k">def</span> sigma(' in found and '<span class="n">' in found
    with pytest.raises(LookupError, match=r"core/ddim.py:gone: no such definition"):
        html("Code: [core/ddim.py, gone](../../../core/ddim.py)")


def test_long_code_waits_for_a_click():
    found = html("Code: [core/schedule.py, Schedule](../../../core/schedule.py)")
    assert found.startswith('<details class="code"><summary><code>core/schedule.py:')


def test_a_picture_is_inside_with_the_italics_behind_it():
    found = html("![a line](figures/x/line.svg)\n\n*It is $s$ long.*\n\nNext.")
    assert found.startswith('<figure class="svg"><img src="data:image/svg+xml;base64,')
    assert 'alt="a line"><figcaption>It is <math' in found and "</figure>\n<p>Next.</p>" in found
    plain = html('![a "face"](figures/x/face.png)\n\n*Two* words.')
    assert '<figure class="png">' in plain and 'alt="a &quot;face&quot;"></figure>' in plain
    assert "<h3" in html("![a](figures/x/face.png)\n\n### *A heading*")
    with pytest.raises(LookupError, match=r"figures/x/gone.svg: no such picture"):
        html("![a](figures/x/gone.svg)")


def test_frames_say_how_they_lie():
    found = html("![a walk](figures/x/walk.frames.png)")
    assert 'data-layout="4 2" data-size="5 3"' in found
    captions = re.search(r'data-captions="([^"]*)"', found)[1].replace("&quot;", '"')
    assert json.loads(captions) == list(FRAMES)
    assert Image.open(io.BytesIO(FOUND["walk.frames.png"])).size == (20, 6)


def test_links_lead_to_pages_of_the_book_or_nowhere():
    found = html(
        f"{ROW}, again {ROW}, [next](02-going-back.md#why), [all](README.md), "
        "[code](../../../core/ddim.py), [here](#why) and [far](https://example.org/a)."
    )
    addresses = re.findall(r'<a href="([^"]*)"( id="DDIM-Eq-9")?>', found)
    assert addresses == [
        ("equations.html#DDIM-Eq-9", ' id="DDIM-Eq-9"'),
        ("equations.html#DDIM-Eq-9", ""),
        ("02-going-back.html#why", ""),
        ("index.html", ""),
        ("#why", ""),
    ]
    assert ", code, " in found and "and far." in found


def test_headings_have_names_and_exercises_their_hints():
    text = "# A\n\n## What *goes*: wrong\n\n### Exercise step: one\n\nDo.\n\n### Exercise b: two\n"
    found, sections = body(text, AROUND)
    assert sections == (("what-goes-wrong", "What *goes*: wrong"),)
    assert '<h2 id="what-goes-wrong">What <em>goes</em>: wrong</h2>' in found
    hint = "<details><summary>Hint</summary><p>two <code>terms</code></p></details>"
    assert found.count("<details>") == 1 and f"<p>Do.</p>\n{hint}\n<h3" in found


def test_marks_of_numbers_are_gone_and_tables_can_scroll():
    found = html("| a | b |\n| :-- | :-- |\n| <!--=k-->0.5<!--/--> | `<b>` |\n")
    assert '<div class="wide"><table>' in found and "</table></div>" in found
    assert ">0.5</td>" in found and "<code>&lt;b&gt;</code>" in found
    assert line("*a* <b>") == "<em>a</em> &lt;b&gt;"


def test_names_are_those_of_github():
    assert slug("Iso Sec. 4.1b") == "iso-sec-41b"
    assert slug("All at once, by steps") == "all-at-once-by-steps"


def test_examples_in_python_are_coloured_and_others_not():
    assert '<span class="k">return</span>' in html("```python\nreturn 1\n```")
    assert html("```\nreturn <1>\n```") == "<pre>return &lt;1&gt;\n</pre>\n"
