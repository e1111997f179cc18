"""The judge of a drag finds points again in images that moved in a known way."""

import pytest
import torch
import torch.nn.functional as F

from latentgeo.eval.metrics.heldout import captioned
from latentgeo.infer.drags.matching import match, point_features
from latentgeo.models.perceptual import load_lpips

FACES = {"001619.webp": (29, 38), "001332.webp": (31, 40), "001432.webp": (39, 27)}


@pytest.fixture(scope="module")
def judge():
    return load_lpips()


def warped(image, handle, target, width=9.0):
    """Return an image (3, H, W) whose content at the handle, and around it, is at the target."""
    height, side = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(side), indexing="ij")
    places = torch.stack([x, y], dim=-1).float()
    to, way = torch.tensor(target).float(), torch.tensor(target).float() - torch.tensor(handle)
    near = torch.exp(-(places - to).square().sum(-1) / (2 * width**2))[..., None]
    grid = (2 * (places - way * near) + 1) / torch.tensor([side, height]) - 1
    return F.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]


def test_nearest_by_cosine_and_of_equal_ones_by_distance():
    source, other = torch.zeros(3, 5, 7), torch.zeros(3, 5, 7)
    source[0] = other[0] = 1
    source[:, 2, 3] = torch.tensor([0.0, 2, 0])
    other[:, 4, 6], other[:, 1, 1] = torch.tensor([0.0, 9, 0]), torch.tensor([0.0, 1, 1])
    points = torch.tensor([[3.0, 2], [5, 0]])
    assert match(source, other, points, torch.tensor([9, 9])).tolist() == [[6, 4], [5, 0]]
    assert match(source, other, points, torch.tensor([3, 0])).tolist() == [[1, 1], [5, 0]]


def test_a_point_that_did_not_move_is_where_it_was(judge):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, 31, 37, generator=generator) * 2 - 1
    features = point_features(judge, image)
    points = torch.tensor([[3.0, 5], [36, 30], [17, 0]])
    assert torch.equal(match(features, features, points, torch.full((3,), 99.0)), points)


@pytest.mark.parametrize("move", [(8, 0), (-8, 0), (0, 8)])
def test_points_of_faces_are_found_where_a_known_warp_put_them(judge, move):
    """8 of 64 pixels, within the 2 pixels that a drag has to come to its target."""
    data = captioned()
    images = data.images(64)
    for name, handle in FACES.items():
        image = images[data.names.index(name)]
        target = (handle[0] + move[0], handle[1] + move[1])
        other = point_features(judge, warped(image, handle, target))
        source, point = point_features(judge, image), torch.tensor([handle]).double()
        found = match(source, other, point, torch.tensor([16.0]))
        assert (found - torch.tensor(target)).norm() <= 2, (name, found)
