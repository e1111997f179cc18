"""What is told of a drag, on images whose changes are known."""

import math

import pytest
import torch
import torch.nn.functional as F

from latentgeo.infer.drags.drag import Dragged, Dragging, Moved, Request
from latentgeo.infer.drags.image import Picture
from latentgeo.infer.drags.matching import Found
from latentgeo.infer.drags.outcome import Outcome, away, change, outcome, report
from latentgeo.models.perceptual import load_lpips

SIDE = 41  # pixels


def points(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def spotted(x, y):
    """Return a grey image (3, H, W) with a red ring in a blue disc there."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    radius = ((columns - x) ** 2 + (rows - y) ** 2).sqrt()
    image = torch.zeros(3, SIDE, SIDE)
    image[:, radius < 6] = torch.tensor([-1.0, -1, 1])[:, None]
    image[:, (radius > 1.5) & (radius < 3.5)] = torch.tensor([1.0, -1, -1])[:, None]
    return image


def dragged(original, edited, decoded, end):
    moved = Moved(z=torch.zeros(1), tracks=[end], losses=[])
    return Dragged(original=original, edited=edited, decoded=decoded, moved=moved)


def picture(image, double=1):
    """Return an image as it was given, `double` times as large, and continued by 7 pixels."""
    given = (SIDE * double, SIDE * double)
    wide = F.pad(image[None], (0, 7, 0, 7), value=-1.0)
    return Picture(image=wide, given=given, scaled=(SIDE, SIDE))


def wide(image):
    return F.pad(image, (0, 7, 0, 7), value=1.0)


def test_points_are_found_where_the_content_went_and_told_in_pixels_of_the_file():
    """The content goes 8 of 10 pixels; the tracker says all of them. The file is twice as large."""
    request = Request(
        handles=points([15, 20]), targets=points([25, 20]), mask=torch.ones(SIDE + 7, SIDE + 7)
    )
    before, after = spotted(15, 20), spotted(23, 20)
    done = dragged(wide(before), wide(after), wide(after), points([25, 20]))
    found = outcome(load_lpips(), done, request, picture(before, 2), False)
    assert (found.found.points - points([23, 20])).norm() <= 1
    assert found.start == [20.0] and found.believed == [0.0]
    assert (
        found.left == pytest.approx([2 * float((found.found.points - points([25, 20])).norm())])
        and 2 <= found.left[0] <= 6
    )
    assert found.psnr == 100


def test_what_moved_and_the_models_own_error_are_of_the_pixels_outside_alone():
    """With a mask those it keeps, before they are put back; what was continued counts nowhere."""
    source = spotted(15, 20)
    original, decoded = source + 2 * 2 / 255, source + 2 * 2 / 255
    decoded[:, :, 30:] += 2 * 5 / 255
    source, original, decoded = (one.clamp(-0.9, 0.9) for one in (source, original, decoded))
    mask = torch.zeros(SIDE + 7, SIDE + 7)
    mask[:SIDE, :30] = 1
    request = Request(handles=points([15, 20]), targets=points([18, 20]), mask=mask)
    done = dragged(wide(original), wide(original), wide(decoded), points([18, 20]))
    found = outcome(load_lpips(), done, request, picture(source), True)
    assert found.moved == pytest.approx(5, rel=1e-3)
    assert found.error == pytest.approx(2, rel=1e-3)
    gap = (original - source).double() / 2
    assert found.psnr == pytest.approx(-10 * math.log10(gap.square().mean()), rel=1e-6)


def test_outside_without_a_mask_is_further_from_the_way_than_it_is_long():
    request = Request(
        handles=points([10, 20], [30, 30]),
        targets=points([15, 20], [30, 33]),
        mask=torch.ones(SIDE, SIDE),
    )
    found = away(request, torch.zeros(3, SIDE, SIDE))
    for x, y, outside in [
        *((5, 20, False), (4, 20, True), (20, 20, False), (21, 20, True), (12, 25, False)),
        *((12, 26, True), (30, 27, False), (30, 26, True), (33, 31, False), (34, 31, True)),
    ]:
        assert bool(found[y, x]) == outside, (x, y)


def test_no_pixel_outside_has_not_changed():
    image = torch.zeros(3, 5, 5)
    assert change(image, image + 1, torch.zeros(5, 5, dtype=torch.bool)) == 0


def measured(moved, error, masked, like=0.9):
    return Outcome(
        found=Found(
            points=points([1, 2]), likeness=torch.tensor([like]), elsewhere=torch.tensor([0.7])
        ),
        start=[8.0],
        left=[1.25],
        believed=[0.5],
        psnr=27.61,
        moved=moved,
        error=error,
        masked=masked,
    )


@pytest.mark.parametrize(
    ("moved", "masked", "protect", "words"),
    [
        (3.0, False, True, "--mask says what is to stay, and a smaller step (--lr 0.005)"),
        (3.0, True, False, "--protect puts them back, and a smaller step (--lr 0.005)"),
        (3.0, True, True, "changed by 3.0 of 255 and were put back"),
        (1.5, False, True, "no more than the model's own error, 2.0"),
        (1.5, True, False, "no more than the model's own error, 2.0"),
    ],
)
def test_what_moved_beyond_the_models_error_is_told_with_advice(moved, masked, protect, words):
    first, point, last = report(measured(moved, 2.0, masked), Dragging(protect=protect))
    assert "27.6 dB" in first
    assert "point 1: 8.0 pixels from its target before, 1.2 after" in point and point.endswith(
        "tracker says 0.5"
    )
    assert words in last
    assert ("--mask" in last) == (moved > 2 and not masked)
    assert ("where the mask keeps them" in last) == masked


def test_a_point_that_is_not_found_again_is_told():
    _, point, _ = report(measured(1, 2, False, 0.61), Dragging())
    assert "not found again: likeness 0.61 at most" in point and "had 0.70" in point
    assert "1.2 after" not in point


def test_content_that_is_gone_is_lost_and_one_that_moved_is_not():
    request = Request(handles=points([15, 20]), targets=points([23, 20]), mask=torch.ones(48, 48))
    before = spotted(15, 20)
    for after, lost in ((spotted(23, 20), False), (torch.zeros(3, SIDE, SIDE), True)):
        done = dragged(wide(before), wide(after), wide(after), points([23, 20]))
        found = outcome(load_lpips(), done, request, picture(before), False).found
        assert found.lost.tolist() == [lost], found
