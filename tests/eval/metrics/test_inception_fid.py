"""Inception's features as FID takes them: 8 bits, batches, and a distance of known sets."""

import pytest
import torch
from torch import nn

from latentgeo.eval.metrics.fid import feature_distance
from latentgeo.eval.metrics.inception_fid import FID, WIDTH, eight_bits, inception_features
from latentgeo.models.inception import Conv
from latentgeo.models.perceptual import check_range


class Small(nn.Module):
    """A network with Inception's first layer and nothing behind it: 32 features."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        check_range("x", x)
        return self.Conv2d_1a_3x3(x).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def network() -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small()


def images(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 40, 43, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_features_are_of_images_in_8_bits(network):
    """FID Eq. 6c: what is lost on the way to a file is lost before the network, too."""
    x = images()
    levels = ((x.double() + 1) / 2 * 255).round().to(torch.uint8)
    on_the_grid = levels.float() / 127.5 - 1
    torch.testing.assert_close(eight_bits(x), on_the_grid)
    found = inception_features(network, x)
    assert found.shape == (3, 32) and f"{WIDTH}-d" in FID
    torch.testing.assert_close(found, network.features(on_the_grid), rtol=1e-5, atol=1e-7)
    assert (found - network.features(x)).abs().max() > 1e-5


def test_batches_change_nothing(network):
    whole = inception_features(network, images())
    torch.testing.assert_close(inception_features(network, images(), batch=2), whole)


def test_a_set_is_at_no_distance_from_itself():
    """FID Eq. 6: and a shift of all features by c is a distance of 2048 c²."""
    features = torch.randn(13, WIDTH, generator=torch.Generator().manual_seed(0))
    assert feature_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert feature_distance(features, features + 0.5) == pytest.approx(WIDTH / 4, rel=1e-6)


def test_no_images_and_other_ranges_are_refused(network):
    with pytest.raises(ValueError, match="images: got none"):
        inception_features(network, torch.zeros(0, 3, 40, 40))
    with pytest.raises(ValueError, match=r"wanted values in \[-1, 1\]"):
        inception_features(network, images() + 1)
