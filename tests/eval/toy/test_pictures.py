"""The toy's pictures: contours and circles where they belong, every map the same way up."""

import math

import pytest
import torch

from latentgeo.eval.toy.pictures import (
    PANEL,
    RADIUS,
    RAMP,
    Panel,
    circle_centres,
    colour,
    contours,
    fitted,
    maps_picture,
    small_circle,
)

GAP = 60.0


def squeezed(x):
    return x[:, :2] * torch.tensor([2.0, 1.0], dtype=x.dtype) + 0.3 * x[:, 2:] ** 2


def test_contours_are_circles_of_latitude():
    for theta, points in contours(GAP):
        torch.testing.assert_close(points.norm(dim=1), torch.ones(len(points)).double())
        assert points[:, 2].max() <= math.cos(math.radians(GAP)) + 1e-9
        if theta is not None:
            south = torch.full((len(points),), -math.cos(math.radians(theta))).double()
            torch.testing.assert_close(points[:, 2], south)


def test_circles_are_equally_large_and_apart():
    centres = torch.stack([middle for _, middle in circle_centres(GAP)])
    for middle in centres[::7]:
        cosine = small_circle(middle) @ middle
        torch.testing.assert_close(cosine, torch.full_like(cosine, math.cos(math.radians(RADIUS))))
    apart = (centres @ centres.T - 2 * torch.eye(len(centres))).clamp(-1, 1).acos()
    assert math.degrees(apart.min()) > 2 * RADIUS


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_a_turn_or_a_mirror_of_the_plane_is_taken_out(mirror):
    turn = torch.tensor([[0.6, 0.8], [-0.8 * mirror, 0.6 * mirror]], dtype=torch.float64)
    flat, scale = fitted(squeezed, GAP)
    other, again = fitted(lambda x: 5 + 3 * squeezed(x) @ turn, GAP)
    points = torch.cat([points for _, points in contours(GAP)])
    torch.testing.assert_close(scale * flat(points), again * other(points))
    assert (scale * flat(points)).abs().max().item() == pytest.approx(PANEL / 2 - 6)


def test_colours_run_from_pole_to_pole():
    assert (colour(0.0), colour(180.0)) == (RAMP[0], RAMP[-1])
    assert len({colour(float(theta)) for theta in range(0, 181, 15)}) == 13


def test_every_panel_has_its_map():
    panels = [Panel("a", None, "one"), Panel("b", squeezed, "two\nlines")]
    picture = maps_picture(panels, GAP)
    width = picture.width // 2
    assert width >= PANEL
    for i in range(2):
        half = picture.crop((i * width, 0, (i + 1) * width, picture.height))
        found = {tone for _, tone in half.getcolors(10**6)}
        assert colour(30.0) in found and colour(105.0) in found
