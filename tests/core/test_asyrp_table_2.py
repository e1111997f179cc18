"""The paper's intervals from the distances that its authors published, which lie outside."""

from pathlib import Path

import pytest
import torch

from latentgeo.core import asyrp

DISTANCES = Path(__file__).parents[2].parent / "shared" / "assets" / "asyrp-lpips"
TABLE = {  # of each set of images: t_boost, and by edit the cosine of its texts and t_edit
    "celeba": (167, [(0.905, 515), (0.899, 513), (0.894, 513), (0.892, 512), (0.886, 512),
                     (0.880, 511), (0.875, 509), (0.868, 506), (0.861, 505), (0.835, 499),
                     (0.802, 490), (0.797, 489), (0.710, 461), (0.667, 446), (0.565, 403),
                     (0.443, 321)]),
    "church": (293, [(0.912, 371), (0.898, 367), (0.841, 349), (0.793, 333), (0.784, 330),
                     (0.774, 326), (0.702, 301)]),
    "bedroom": (221, [(0.912, 370), (0.917, 371)]),
    "afhq": (167, [(0.883, 430), (0.866, 422), (0.860, 419), (0.850, 412), (0.690, 302)]),
    "metface": (180, [(0.921, 330), (0.908, 320), (0.879, 291)]),
}  # fmt: skip
EDITS = [(name, *one) for name, (_, edits) in TABLE.items() for one in edits]
DIGIT = 0.0005  # what the third digit of a cosine leaves open


def distances(name, of):
    """Return the times and LPIPS(x, P_t), of "x0_t", or LPIPS(x, x_t), of "x"."""
    path = DISTANCES / f"{name}_LPIPS_distance_{of}.tsv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    rows = [line.split() for line in path.read_text().splitlines()]
    return [int(t) for t, _ in rows], [float(value) for _, value in rows]


def misses(rule):
    """Return rule - print of the 33 edits."""
    each = []
    for name, cosine, t_edit in EDITS:
        found = rule(*distances(name, "x0_t"), asyrp.edit_threshold(1 - cosine))
        each.append(found - t_edit)
    return each


def test_the_released_rule_gives_the_table():
    """Asyrp Tab. 2: t_edit of 30 edits to the digit, all 33 within one step."""
    found = misses(asyrp.t_edit)
    assert len(found) == 33 and found.count(0) == 30 and max(map(abs, found)) == 1


def test_rounded_cosines_explain_the_rest():
    """Asyrp Tab. 2: every printed t_edit is that of some cosine that is printed so."""
    for name, cosine, t_edit in EDITS:
        low, high = (
            asyrp.t_edit(*distances(name, "x0_t"), asyrp.edit_threshold(1 - cosine + side * DIGIT))
            for side in (1, -1)
        )
        assert low <= t_edit <= high, (name, cosine)


def test_the_rule_of_the_text_does_not():
    """Asyrp Tab. 2, Asyrp Sec. 4.1: the shortest interval that is strong enough is 1 of the 33."""
    found = misses(asyrp.t_edit_shortest)
    assert found.count(0) == 1 and found.count(-1) == 29 and max(map(abs, found)) == 3


@pytest.mark.parametrize("name", TABLE)
def test_little_is_edited_below_t_boost(name):
    """Asyrp Sec. 4.2b: what LPIPS(x, P_t) still falls by from t_boost on is less than 0.25."""
    times, values = distances(name, "x0_t")
    strength = asyrp.editing_strength(torch.tensor(values).flip(0))  # from T down
    left = strength[-1] - strength[len(times) - 1 - times.index(TABLE[name][0])]
    assert 0 < left < 0.25


@pytest.mark.parametrize("name", TABLE)
def test_t_boost_is_the_tables(name):
    """Asyrp Tab. 2: the first LPIPS(x, x_t) of 1.2, of all five sets."""
    assert asyrp.t_boost(*distances(name, "x")) == TABLE[name][0]
