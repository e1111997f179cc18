"""The page and its axes: where things land."""

import pytest

from latentgeo.eval.page.canvas import Axes, Canvas

RED = (200, 0, 0)


def red(picture, place):
    """Whether a place is red, up to the ringing of the scaled picture."""
    r, g, b = picture.getpixel(place)
    return abs(r - 200) < 30 and max(g, b) < 60


def test_things_are_where_they_are_put():
    canvas = Canvas(53, 31)
    canvas.line([(5, 7), (47, 7)], RED, 3)
    canvas.polygon([(10, 15), (20, 15), (20, 25), (10, 25)], RED)
    canvas.dot((40, 20), RED, 4)
    picture = canvas.picture()
    assert picture.size == (53, 31)
    for inside in ((26, 7), (15, 20), (40, 20)):
        assert red(picture, inside)
    for outside in ((26, 11), (25, 20), (46, 20), (2, 7)):
        assert not red(picture, outside)


def test_text_is_anchored_and_breaks_lines():
    canvas = Canvas(101, 61)
    canvas.text((100, 5), "one\ntwo", 12, "ra")
    picture = canvas.picture()
    places = [(x, y) for x in range(101) for y in range(61)]
    dark = [place for place in places if sum(picture.getpixel(place)) < 400]
    assert min(x for x, _ in dark) > 60  # from the right edge to the left
    assert {y < 19 for _, y in dark} == {True, False}  # two lines


def test_axes_are_linear_or_logarithmic():
    axes = Axes(canvas=Canvas(9, 9), box=(10, 20, 110, 70), x=(1, 100), y=(0, 5), log_x=True)
    assert axes.at(1, 0) == pytest.approx((10, 70))
    assert axes.at(10, 2.5) == pytest.approx((60, 45))
    assert axes.at(100, 5) == pytest.approx((110, 20))


def test_a_curve_stays_in_its_box():
    canvas = Canvas(60, 60)
    axes = Axes(canvas=canvas, box=(10, 10, 50, 50), x=(0, 1), y=(0, 1))
    axes.curve([(0, -9), (1, -9)], RED, 3, dots=True)
    picture = canvas.picture()
    assert red(picture, (30, 50))
    assert not any(red(picture, (x, 58)) for x in range(60))
