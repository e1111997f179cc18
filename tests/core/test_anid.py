"""ANID: the order of its frames, how far up each level goes, and what lies halfway."""

import pytest
import torch

from latentgeo.core.anid import branches, halfway, shares
from latentgeo.core.schedule import scaled_linear

SCHEDULE = scaled_linear()


def test_published_order_of_nine_frames():
    """ANID Sec. 4.1: N/2 from 0 and N, then N/4 and 3N/4, then the odd eighths."""
    assert branches(9) == [
        [(0, 4, 8)],
        [(0, 2, 4), (4, 6, 8)],
        [(0, 1, 2), (2, 3, 4), (4, 5, 6), (6, 7, 8)],
    ]


@pytest.mark.parametrize("frames", [2, 3, 7, 11, 17])
def test_every_frame_comes_once_and_after_its_parents(frames):
    """ANID Sec. 4.1: whatever the number of frames."""
    made = [0, frames - 1]
    for level in branches(frames):
        for a, m, b in level:
            assert a in made and b in made and a < m < b
        made += [m for _, m, _ in level]
    assert sorted(made) == list(range(frames))


def test_coarse_levels_go_highest():
    """ANID Sec. 4.1: linear from most to least, and one level alone goes highest."""
    assert shares(3) == pytest.approx([0.5, 0.375, 0.25])
    assert shares(2, 0.35, 0.65) == pytest.approx([0.65, 0.35])
    assert shares(1) == [0.5] and shares(0) == []


def test_halfway_of_an_image_and_itself_is_the_image_noised():
    """ANID Sec. 4.1: shared noise: equal parents stay √ᾱ z + √(1-ᾱ) ε at any ratio."""
    z, eps = torch.randn(2, 1, 2, 3, 5, dtype=torch.float64)
    t = torch.tensor([400])
    bar = SCHEDULE.alpha_bar[400]
    found = halfway(SCHEDULE, z, z, 0.3, eps, t)
    torch.testing.assert_close(found, bar.sqrt() * z + (1 - bar).sqrt() * eps)


def test_halfway_has_equal_angles_to_both_parents():
    """ANID Sec. 4.1: slerp between the noisy parents."""
    left, right, eps = torch.randn(3, 1, 2, 3, 5, dtype=torch.float64)
    t, bar = torch.tensor([700]), SCHEDULE.alpha_bar[700]
    ends = [bar.sqrt() * z + (1 - bar).sqrt() * eps for z in (left, right)]
    found = halfway(SCHEDULE, left, right, 0.5, eps, t).flatten()
    cosines = [torch.nn.functional.cosine_similarity(found, end.flatten(), 0) for end in ends]
    torch.testing.assert_close(*cosines)
    lengths = torch.stack([end.norm() for end in ends])
    torch.testing.assert_close(found.norm(), lengths.mean())
