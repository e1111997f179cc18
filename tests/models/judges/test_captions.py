"""Tests of the avatars' grammar: what a caption states is exactly what is read back from it."""

import random
from collections import Counter

import pytest

from latentgeo.models.judges.captions import (
    ATTRIBUTES,
    STATED,
    caption,
    draw,
    draw_stated,
    parse_caption,
    prompts,
    shortened,
)


def test_captions_state_what_is_parsed_from_them():
    """Over random faces and random subsets: stated values come back, and nothing else does."""
    rng = random.Random(0)
    for _ in range(2_003):
        values = draw(rng)
        stated = draw_stated(values, rng)
        expected = {name: values[name] for name in stated if values[name] != "none"}
        assert parse_caption(caption(values, stated)) == expected


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTES) - {"hair_colour", "clothes_colour"}))
def test_each_value_alone_survives_the_caption(name):
    """One attribute stated by itself, each of its values."""
    values = {key: choices[0] for key, choices in ATTRIBUTES.items()}
    for value in ATTRIBUTES[name]:
        text = caption(values | {name: value}, {name})
        assert parse_caption(text) == ({} if value == "none" else {name: value}), text


def test_a_caption_reads_as_english():
    """The whole grammar in one sentence."""
    values = {
        "mouth": "smiling",
        "eyes": "open",
        "brows": "raised",
        "hair": "short",
        "hair_colour": "blond",
        "facial_hair": "beard",
        "accessory": "round glasses",
        "skin": "light",
        "clothes": "overall",
        "clothes_colour": "blue",
        "background": "orange",
    }
    assert caption(values, set(values)) == (
        "a smiling light-skinned person with short blond hair, open eyes, raised brows, a beard "
        "and round glasses wearing a blue overall on an orange background"
    )
    assert caption(values, set()) == "a person"


def test_free_words_state_nothing():
    """Captions from elsewhere are passed over, not misread."""
    assert parse_caption("two dogs on a beach, oil painting") == {}
    assert parse_caption("") == {}


def test_attributes_are_stated_as_often_as_said():
    """A caption states an attribute with probability STATED, by binomial bounds."""
    rng, n = random.Random(1), 5_003
    counts = Counter(name for _ in range(n) for name in draw_stated(draw(rng), rng))
    bound = 4.5 * (STATED * (1 - STATED) / n) ** 0.5
    for name in ("mouth", "skin", "background"):
        assert counts[name] / n == pytest.approx(STATED, abs=bound)


def test_shortened_captions_state_a_part_of_what_was_stated():
    """All numbers of attributes occur, nothing is added, and other texts stay as they are."""
    rng, left = random.Random(1), Counter()
    for _ in range(1_009):
        values = draw(rng)
        stated = draw_stated(values, rng)
        text = caption(values, stated)
        short = shortened(text, rng)
        found = parse_caption(short)
        assert found.items() <= parse_caption(text).items()
        assert short.count("person") + short.count("face") == 1
        left[len(found)] += 1
    assert all(left[k] > 20 for k in range(8))
    assert shortened("two dogs with beards", rng) == "two dogs with beards"


def test_prompts_state_one_value():
    """Every value that can be said alone has its prompt; of clothes' colours there are none."""
    told = prompts()
    assert told.keys() == ATTRIBUTES.keys() - {"clothes_colour"}
    for name, texts in told.items():
        assert texts.keys() == set(ATTRIBUTES[name]) - {"none"}
        for value, text in texts.items():
            assert parse_caption(text) == {name: value}


def test_shortened_captions_say_a_colour_without_the_kind_of_hair():
    """Half of those that say both, so that "a face with red hair" is read, too."""
    text = "a person with long red hair"
    said = Counter(shortened(text, random.Random(i)).split(" with ")[-1] for i in range(401))
    assert said["red hair"] > 40 and said["long red hair"] > 40 and said["long hair"] > 40
