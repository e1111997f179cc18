"""Where an attribute is seen, on images made so that it is known."""

import pytest
import torch

from latentgeo.eval.metrics.edit_regions import by_chance, correlation_ratio, outside, regions

VALUES = ["a", "b", "c"] * 40


def images():
    """Noise everywhere; the value decides all of pixel (0, 1) and a part of pixel (2, 3)."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(120, 3, 5, 7, generator=draw)
    level = torch.tensor([{"a": -1.0, "b": 0.0, "c": 1.0}[value] for value in VALUES])
    x[:, :, 0, 1] = level[:, None]
    x[:, :, 2, 3] += level[:, None]
    return x


def test_ratio_is_the_share_of_the_variance_between_values():
    """η² = var(level) / (var(level) + 1) where noise of variance 1 is added, 2/3 over 5/3."""
    ratio = correlation_ratio(images(), VALUES)
    assert ratio.shape == (5, 7) and ratio[0, 1] == pytest.approx(1)
    assert ratio[2, 3] == pytest.approx(0.4, abs=0.06)
    ratio[0, 1] = ratio[2, 3] = 0
    assert ratio.max() < 0.06  # chance: 2 of 119 degrees of freedom
    assert not correlation_ratio(torch.ones(120, 3, 2, 2), VALUES).any()


def test_few_images_decide_nothing_by_chance():
    """Noise of 12 images in 4 groups has an η² of 3/11 on average; hardly a pixel is beyond it."""
    noise = torch.randn(12, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    values = [*"abcd"] * 3
    assert correlation_ratio(noise, values).mean() == pytest.approx(3 / 11, abs=0.02)
    assert (~outside(noise, values)).double().mean() < 0.01
    assert by_chance(12, 1) == by_chance(3, 3) == 1.0 and by_chance(1000, 5) < 0.03


def test_outside_is_where_the_attribute_decides_little():
    apart = outside(images(), VALUES, 0.2)
    assert (~apart).nonzero().tolist() == [[0, 1], [2, 3]]
    found = regions(images(), [{"hair": value, "skin": "light"} for value in VALUES], ["skin"])
    assert found["skin"].all() and list(found) == ["skin"]
    with pytest.raises(ValueError, match="got 3 for 120 images"):
        correlation_ratio(images(), VALUES[:3])
