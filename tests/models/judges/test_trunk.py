"""The convolutions that small networks share: their sizes, and the names that saved files have."""

import pytest
import torch

from latentgeo.models.judges.trunk import TrunkConfig, halving, trunk

CONFIG = TrunkConfig(size=20, channels=(6, 10), groups=2)


def test_features_are_the_numbers_of_the_last_cells():
    found = trunk(CONFIG)(torch.randn(3, 3, 20, 20))
    assert found.shape == (3, 10, 5, 5)
    assert CONFIG.features == found[0].numel() and CONFIG.factor == 4


def test_names_are_those_of_saved_files():
    """A halving is flat: convolution 0, norm 1, convolution 3, norm 4."""
    names = {f"{i}.{kind}" for i in (0, 1, 3, 4) for kind in ("weight", "bias")}
    assert set(halving(6, 10, 2).state_dict()) == names
    inside = {f"{i}.{name}" for i in (5, 6) for name in names}
    stem = {f"{i}.{kind}" for i in (0, 2, 3) for kind in ("weight", "bias")}
    assert set(trunk(CONFIG).state_dict()) == stem | inside


def test_shapes_that_no_layer_could_have():
    with pytest.raises(ValueError, match="size must be a multiple of 4, got 22"):
        TrunkConfig(size=22, channels=(6, 10), groups=2)
    with pytest.raises(ValueError, match=r"multiples of groups \(4\), got 6"):
        TrunkConfig(size=20, channels=(8, 6), groups=4)
