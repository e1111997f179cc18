"""What edits want, in the avatars' words, and the odds of it."""

import pytest
import torch

from latentgeo.eval.semantic.wanted import kinds, log_odds, shows, wanted_of


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("a face", "a smiling face", {"mouth": ("smiling",)}),
        ("a face", "a face with glasses", {"accessory": ("glasses", "round glasses")}),
        ("a sad face", "a sad face with a beard", {"facial_hair": ("beard",)}),
        ("a person with sunglasses", "a person", {"accessory": ("none",)}),
        (
            *("a face with black hair", "a cheeky face with pink hair"),
            {"mouth": ("tongue",), "hair_colour": ("pink",)},
        ),
    ],
)
def test_what_two_texts_want(source, target, wanted):
    assert wanted_of(source, target) == wanted


@pytest.mark.parametrize("texts", [("a face", "a zombie"), ("a sad face", "a face")])
def test_texts_without_a_change_are_refused(texts):
    with pytest.raises(ValueError, match="no change of an attribute"):
        wanted_of(*texts)


def test_kinds_add_words_before():
    assert kinds("accessory", "sunglasses") == ("sunglasses",)
    assert kinds("accessory", "round glasses") == ("round glasses",)


def test_an_image_shows_all_or_not():
    wanted = {"mouth": ("sad", "serious"), "skin": ("dark",)}
    assert shows({"mouth": "sad", "skin": "dark", "hair": "bob"}, wanted)
    assert not shows({"mouth": "sad", "skin": "pale", "hair": "bob"}, wanted)


def test_log_odds_are_those_of_the_softmax():
    torch.manual_seed(0)
    values = {"mouth": ("smiling", "sad", "serious"), "skin": ("pale", "dark")}
    logits = {name: torch.randn(7, len(some)).double() for name, some in values.items()}
    p = logits["mouth"].softmax(1)[:, 1:].sum(1)
    alone = log_odds(logits, {"mouth": ("sad", "serious")}, values)
    torch.testing.assert_close(alone, (p / (1 - p)).log())
    q = logits["skin"].softmax(1)[:, 1]
    least = torch.minimum(p, q)
    found = log_odds(logits, {"mouth": ("sad", "serious"), "skin": ("dark",)}, values)
    torch.testing.assert_close(found, (least / (1 - least)).log())
