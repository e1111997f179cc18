"""Images of any size, points and masks: read, scaled, continued, cut back, and refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.drags.image import continued, parse_points, read_picture, read_points
from latentgeo.models.bundles.text_to_image import load_bundle


@pytest.fixture(scope="module")
def bundle(tiny):
    return load_bundle(tiny.model)


def picture_file(path, width, height):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path, torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


def test_an_image_is_continued_by_its_last_pixels_and_cut_back(bundle, tmp_path):
    path, pixels = picture_file(tmp_path / "a.png", 37, 29)
    found = read_picture(path, bundle, None)
    height, width = found.image.shape[-2:]
    assert height % 8 == width % 8 == 0 and height >= 29 and width >= 37
    torch.testing.assert_close(found.cut(found.image[0]), pixels.float())
    right = found.image[0, :, :29, 36:37].expand(-1, -1, width - 37)
    assert torch.equal(found.image[0, :, :29, 37:], right)
    assert torch.equal(
        found.image[0, :, 29:, 5], found.image[0, :, 28:29, 5].expand(-1, height - 29)
    )
    assert found.scale.tolist() == [1, 1]


def test_a_side_that_fits_is_left_alone():
    image = torch.arange(2.0 * 16 * 8).reshape(1, 2, 16, 8)
    assert torch.equal(continued(image, 8), image)
    assert continued(image, 16).shape == (1, 2, 16, 16)


def test_an_image_is_scaled_by_its_longer_side(bundle, tmp_path):
    path, _ = picture_file(tmp_path / "a.png", 74, 58)
    found = read_picture(path, bundle, 37)
    assert found.scaled == (29, 37) and found.given == (58, 74)
    assert found.scale.tolist() == [0.5, 0.5]


def test_mask_is_white_where_pixels_may_change_and_keeps_what_was_continued(bundle, tmp_path):
    path, _ = picture_file(tmp_path / "a.png", 37, 29)
    found = read_picture(path, bundle, None)
    levels = np.zeros((29, 37), dtype=np.uint8)
    levels[3:7, 5:11] = 255
    levels[20, 20] = 100
    Image.fromarray(levels).save(tmp_path / "mask.png")
    mask = found.mask(tmp_path / "mask.png")
    wanted = torch.zeros(found.image.shape[-2:])
    wanted[3:7, 5:11] = 1
    assert torch.equal(mask, wanted)
    everywhere = found.mask(None)
    assert everywhere.sum() == 29 * 37 and everywhere[:29, :37].all()


def test_mask_is_scaled_with_its_image(bundle, tmp_path):
    path, _ = picture_file(tmp_path / "a.png", 74, 58)
    levels = np.zeros((58, 74), dtype=np.uint8)
    levels[:, 36:] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    mask = read_picture(path, bundle, 37).mask(tmp_path / "mask.png")
    assert mask[:29, 18:37].all() and not mask[:, :18].any() and not mask[:, 37:].any()


def test_points_of_words_and_of_a_file(tmp_path):
    handles, targets = parse_points(("1,2:3,4.5", "0,0:7,7"))
    assert handles == [(1, 2), (0, 0)] and targets == [(3, 4.5), (7, 7)]
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"points": [[[1, 2], [3, 4.5]], [[0, 0], [7, 7]]]}))
    assert read_points(path) == (handles, targets)


@pytest.mark.parametrize("word", ["1,2", "1,2:3", "a,b:c,d", "1,2:3,4:5,6", "1,2,3:4,5", ""])
def test_a_word_that_is_no_pair_of_points_is_refused(word):
    with pytest.raises(ValueError, match="wanted x0,y0:x1,y1"):
        parse_points((word,))


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"points": [[1, 2]]}', '{"points": [[["a", 2], [3, 4]]]}', "x"]
)
def test_a_file_that_holds_no_points_is_refused(tmp_path, text):
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"points\.json: wanted"):
        read_points(path)


def test_files_that_are_not_there_or_no_pictures_are_named(bundle, tmp_path):
    path, _ = picture_file(tmp_path / "a.png", 37, 29)
    (tmp_path / "text.png").write_text("no picture")
    found = read_picture(path, bundle, None)
    for read in (lambda p: read_picture(p, bundle, None), found.mask):
        with pytest.raises(FileNotFoundError, match=r"missing\.png"):
            read(tmp_path / "missing.png")
        with pytest.raises(ValueError, match=r"text\.png: not an image"):
            read(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError, match="missing"):
        read_points(tmp_path / "missing.json")


def test_a_mask_of_another_size_or_without_white_is_refused(bundle, tmp_path):
    path, _ = picture_file(tmp_path / "a.png", 37, 29)
    found = read_picture(path, bundle, None)
    Image.new("L", (29, 37), 255).save(tmp_path / "turned.png")
    Image.new("L", (37, 29), 0).save(tmp_path / "black.png")
    with pytest.raises(ValueError, match="29 x 37 pixels, wanted 37 x 29"):
        found.mask(tmp_path / "turned.png")
    with pytest.raises(ValueError, match="no white pixel"):
        found.mask(tmp_path / "black.png")
