"""Segmentation consistency: closed forms of squares that move, parts that go, and refusals."""

import pytest
import torch
from torch import Tensor

from latentgeo.eval.metrics.segmentation import compared, intersections, mean_iou, pixel_agreement


def square(left: int, side: int = 5, height: int = 11, width: int = 13, part: int = 1) -> Tensor:
    """A square of a part, its rows 3 … 3 + side, on part 0: (H, W)."""
    found = torch.zeros(height, width, dtype=torch.int64)
    found[3 : 3 + side, left : left + side] = part
    return found


@pytest.mark.parametrize("shift", [0, 1, 3, 5, 7])
def test_a_square_that_moves(shift):
    """Asyrp Sec. K.2: side s moved by d leaves s (s - d) of s² pixels, and unites s (s + d)."""
    side, pixels, d = 5, 11 * 13, min(shift, 5)
    a, b = square(1)[None], square(1 + shift)[None]
    wrong = 2 * side * d
    assert pixel_agreement(a, b).item() == pytest.approx(1 - wrong / pixels)
    union_of_ground = pixels - side * (side - d)
    ground = (pixels - side * (side + d)) / union_of_ground
    own = side * (side - d) / (side * (side + d))
    assert mean_iou(a, b, 3).item() == pytest.approx((ground + own) / 2)  # part 2 is in neither


def test_a_part_that_goes_counts_in_the_mean_and_hardly_in_the_pixels():
    """Asyrp Sec. K.2: one pixel of 143 that goes costs agreement 1/143 and the mean a half."""
    a, b = square(2, side=1)[None], square(2, side=0)[None]
    assert pixel_agreement(a, b).item() == pytest.approx(142 / 143)
    assert mean_iou(a, b, 2).item() == pytest.approx((142 / 143 + 0) / 2)
    assert mean_iou(a, a, 2).item() == 1


def test_of_random_parts_is_that_of_sets():
    """Asyrp Sec. K.2: each picture by itself, by Python's sets of places; and symmetric."""
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 5, (3, 7, 11), generator=draw) for _ in range(2))
    for n in range(3):
        shares = []
        for part in range(5):
            of_a, of_b = ({*map(tuple, (x[n] == part).nonzero().tolist())} for x in (a, b))
            shares.append(len(of_a & of_b) / len(of_a | of_b))
        assert mean_iou(a, b, 5)[n].item() == pytest.approx(sum(shares) / 5)
    torch.testing.assert_close(mean_iou(a, b, 5), mean_iou(b, a, 5))
    assert mean_iou(a, a, 5).tolist() == [1.0] * 3 and pixel_agreement(a, a).tolist() == [1.0] * 3


def test_a_square_that_moves_by_a_pixel_in_means_with_their_n():
    """A threshold as the segmenter: part 1 is what is bright."""
    originals = torch.zeros(3, 3, 11, 13) - 1
    originals[:, :, 3:8, 1:6] = 1
    edits = originals.roll(1, dims=3)
    before, after = ((x[:, 0] > 0).long() for x in (originals, edits))
    found = compared(("ground", "square"), before, after)
    assert found.agreement.value == pytest.approx(1 - 10 / 143) and found.agreement.n == 3
    assert found.by_part["square"].value == pytest.approx(20 / 30)
    assert found.iou.value == pytest.approx((20 / 30 + 113 / 123) / 2)


def test_wrong_shapes_and_numbers_are_refused():
    a = square(1)[None]
    with pytest.raises(ValueError, match=r"a and b: got \(1, 11, 13\) and \(2, 11, 13\)"):
        pixel_agreement(a, a.expand(2, -1, -1))
    with pytest.raises(ValueError, match=r"b: got parts 0 … 7, wanted 0 … 2"):
        intersections(a, 7 * a, 3)
