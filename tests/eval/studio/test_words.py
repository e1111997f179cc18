"""The tab Words: which token becomes which, in words and lines."""

import re

import pytest
import torch

from latentgeo.eval.studio.words import HEIGHT, pairs_drawing, prompts_of, words_of
from latentgeo.infer.walks.prompt_walk import Clouds
from tests.eval.studio.tabs import done, same_bytes, tab

FIRST, LAST = ["start", "a", "cat", "end", "2 × padding"], ["start", "dog", "end", "3 × padding"]


def lines(drawing):
    """The lines of a drawing as pairs of rows, by colour."""
    found = re.findall(r'y1="([\d.]+)" y2="([\d.]+)" stroke="(.*?)"', drawing)
    row = [(round(float(a) / HEIGHT - 0.7), round(float(b) / HEIGHT - 0.7), c) for a, b, c in found]
    return {c: {(a, b) for a, b, other in row if other == c} for *_, c in row}


def test_lines_pair_the_tokens_and_padding_is_one():
    """σ = (0, 2, 1, 3, 4, 5): `cat` becomes `dog`, the rest of the text and padding is folded."""
    drawing = pairs_drawing(FIRST, LAST, {"optimal": [0, 2, 1, 3, 4, 5]})
    (found,) = lines(drawing).values()
    assert found == {(0, 0), (1, 2), (2, 1), (3, 3), (4, 3)}


@pytest.mark.parametrize("text", ["", "a cat\n", "a\nb\nc\nd\n\ne"])
def test_prompts_are_lines_two_to_four(text):
    assert prompts_of(" a cat \n\na dog\n") == ("a cat", "a dog")
    with pytest.raises(ValueError, match=r"prompts: got [015] lines, wanted 2 to 4"):
        prompts_of(text)


def test_each_coupling_has_its_colour_and_its_name():
    drawing = pairs_drawing(FIRST, LAST, {"index": range(6), "optimal": [5, 4, 3, 2, 1, 0]})
    assert len(lines(drawing)) == 2
    assert ">index<" in drawing and ">optimal<" in drawing


def test_words_are_the_tokens_of_the_prompt(bundle):
    prompt = "red hair"
    ids = bundle.tokenizer.encode(prompt)
    length = bundle.tokenizer.context
    real = min(len(ids), length - 2) + 2
    clouds = Clouds(points=torch.zeros(1, length, 2), real=torch.tensor([real]))
    start, *said, end, padding = words_of(bundle, clouds, 0, prompt)
    assert "".join(said) == prompt.replace(" ", "")
    assert (start, end, padding) == ("start", "end", f"{length - real} × padding")


def test_a_walk_between_prompts_is_the_commands(page, tmp_path):
    tab(page, "Words")
    page.fill("#words-frames input[type=number]", "3")
    page.fill("#words-steps input[type=number]", "2")
    line = done(page, "words")
    assert page.locator("#words-result .pairs svg").count() == 1
    assert same_bytes(
        page,
        "words",
        line,
        tmp_path,
        {"strip.png": "words/strip.png", "distances.json": "words/distances.json"},
    )
