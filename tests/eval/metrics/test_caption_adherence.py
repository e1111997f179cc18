"""Caption adherence: hand-counted hits, intervals, and that silence counts for nothing."""

import numpy as np
import pytest

from latentgeo.eval.metrics.caption_adherence import adherence
from latentgeo.models.judges.captions import parse_caption

STATED = [{"hair": "long", "eyes": "open"}, {"hair": "no"}, {}, {"eyes": "heart"}]
SHOWN = [
    {"hair": "long", "eyes": "closed"},
    {"hair": "no", "eyes": "open"},
    {"hair": "bun", "eyes": "open"},
    {"hair": "bun", "eyes": "heart"},
]


def test_counts_by_hand():
    found = adherence(STATED, SHOWN)
    assert found.hits.tolist() == [1, 1, 0, 1]
    assert found.stated.tolist() == [2, 1, 0, 1]
    assert found.by_attribute == {"hair": (2, 2), "eyes": (1, 2)}
    assert found.overall.value == pytest.approx(3 / 4)
    assert found.per_attribute["eyes"].value == 0.5


def test_interval_resamples_images_not_statements():
    """Ten statements that are right or wrong together are as good as one."""
    names = "abcdefghij"
    stated = [dict.fromkeys(names, "x")] * 20 + [{"a": "x"}] * 200
    shown = [dict.fromkeys(names, "x" if i % 2 else "y") for i in range(220)]
    together = adherence(stated[:20], shown[:20]).overall
    apart = adherence(stated[20:], shown[20:]).overall
    assert together.value == apart.value == 0.5
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_difference_of_two_models_on_the_same_captions():
    better = adherence(STATED, [*SHOWN[:0], {"hair": "long", "eyes": "open"}, *SHOWN[1:]])
    worse = adherence(STATED, SHOWN)
    assert better.minus(worse).value == pytest.approx(1 / 4)
    assert worse.minus(worse).interval == [0, 0]
    assert better.over(worse).value == pytest.approx(4 / 3)
    assert worse.over(worse).interval == [1, 1]
    with pytest.raises(ValueError, match="same for both"):
        worse.minus(adherence(STATED[:2], SHOWN[:2]))


def test_captions_of_the_grammar_are_understood():
    text = "a smiling pale-skinned person with short red hair and a beard wearing a blue hoodie"
    stated = parse_caption(text)
    assert stated["hair_colour"] == "red" and stated["clothes"] == "hoodie"
    assert adherence([stated], [stated]).overall.value == 1.0
    assert np.isfinite(adherence([stated], [stated]).overall.interval).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="states an attribute"):
        adherence([{}], [{"hair": "no"}])
    with pytest.raises(ValueError, match="one each"):
        adherence(STATED, SHOWN[:2])
    with pytest.raises(ValueError, match="does not know the attribute 'mood'"):
        adherence([{"mood": "x"}], [{"hair": "no"}])
