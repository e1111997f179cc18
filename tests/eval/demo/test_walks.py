"""The walk that stands for all, and its picture."""

import numpy as np
import pytest
from PIL import Image

from latentgeo.eval.demo.walks import LEFT, Shown, even_ticks, typical, with_curve
from latentgeo.eval.metrics.smoothness import Walks


def walks(*spreads):
    """Walks of two steps, 1 ± s, whose ISTD is s."""
    distances = np.array([[1 - s, 1 + s] for s in spreads])
    return Walks(distances=distances, span=np.ones(len(spreads)), seed=0, settings={})


def test_the_typical_walk_is_nearest_to_the_medians_of_all_models():
    """Neither model's best; a prompt at one model's median and far from the other's loses."""
    base, smooth = walks(0.9, 0.2, 0.5, 0.45, 0.8), walks(0.05, 0.1, 0.6, 0.21, 0.2)
    assert np.median([0.9, 0.2, 0.5, 0.45, 0.8]) == 0.5  # prompt 2, three times smooth's median
    assert typical({"base": base, "smooth": smooth}) == 3
    assert typical({"base": base}) == 2


def test_the_typical_walk_is_the_same_in_any_unit():
    base, smooth = walks(0.9, 0.2, 0.5, 0.45, 0.8), walks(0.05, 0.1, 0.6, 0.21, 0.2)
    doubled = Walks(distances=base.distances / 7, span=base.span, seed=0, settings={})
    assert typical({"base": doubled, "smooth": smooth}) == 3


def test_a_walk_that_stands_still_is_no_error():
    assert typical({"base": walks(0.0, 0.3, 0.4)}) in (1, 2)


def test_points_of_the_curve_are_beneath_the_borders_of_their_images():
    """The highest point of `base`, its second of three, is at the second of three borders."""
    tiles = [Image.new("RGB", (40, 40), (0, 0, 60 * i)) for i in range(4)]
    shown = Shown(
        caption="a face",
        rows={"base": tiles, "smooth": tiles},
        distances={"base": [0.0, 4.0, 0.0], "smooth": [1.0, 1.0, 1.0]},
    )
    picture = with_curve(shown).convert("RGB")
    assert picture.width == LEFT + 4 * 40
    assert [picture.getpixel((LEFT + 40 * i + 20, 60)) for i in range(4)] == [
        (0, 0, 60 * i) for i in range(4)
    ]
    pixels = np.asarray(picture).astype(int)
    y, x = np.nonzero((pixels[90:, :, 0] > 190) & (pixels[90:, :, 2] < 90))  # base's orange
    assert x[y == y.min()].mean() == pytest.approx(LEFT + 2 * 40, abs=2)


def test_ticks_are_round_and_few():
    assert even_ticks(8.7) == [0, 2, 4, 6, 8]
    assert even_ticks(0.3) == pytest.approx([0, 0.1, 0.2])
    assert all(3 <= len(even_ticks(x)) <= 6 for x in np.geomspace(1e-3, 1e4, 200))
