"""Images of any size, points and masks: read, scaled, continued, cut back, and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.drags.image import continued, parse_points, read_picture, read_points
from latentgeo.models.bundles.text_to_image import load_bundle

TRIALS = Path(__file__).parents[4] / "shared" / "trials" / "img"


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
    with pytest.raises(ValueError, match=r"no white pixel .*: its brightest is 0 of 255"):
        found.mask(tmp_path / "black.png")
    small = read_picture(path, bundle, 9)
    dot = Image.new("L", (37, 29), 0)
    dot.putpixel((20, 20), 255)
    dot.save(tmp_path / "dot.png")
    with pytest.raises(ValueError, match="no white pixel at 9 x 7 pixels"):
        small.mask(tmp_path / "dot.png")


def masks_of_a_tenth():
    """One mask, as people store it: white on black, and on what is transparent; 8 and 16 bits."""
    white = np.zeros((29, 37), dtype=np.uint8)
    white[3:12, 5:17] = 255
    image = Image.fromarray(white)
    nothing = Image.new("L", image.size, 255)
    dim = np.where(white, 40000, 30000).astype(np.uint16)  # on either side of half of 16 bits
    return white == 255, {
        "grey": image,
        "white under alpha 0": Image.merge("LA", (nothing, image)),
        "colours": Image.merge("RGBA", (nothing, nothing, nothing, image)),
        "bits": image.convert("1"),
        "16 bits": Image.fromarray(white.astype(np.uint16) * 257),
        "dim 16 bits": Image.fromarray(dim),
        "floats": Image.fromarray(white.astype(np.float32) / 255),
    }


@pytest.mark.parametrize("kind", masks_of_a_tenth()[1])
def test_a_mask_means_the_same_however_it_is_stored(bundle, tmp_path, kind):
    path, _ = picture_file(tmp_path / "a.png", 37, 29)
    wanted, masks = masks_of_a_tenth()
    masks[kind].save(tmp_path / "mask.tif")
    mask = read_picture(path, bundle, None).mask(tmp_path / "mask.tif")
    assert (mask[:29, :37].bool().numpy() == wanted).all()


@pytest.mark.skipif(not TRIALS.is_dir(), reason="needs shared/trials beside the repository")
@pytest.mark.parametrize("name", ["mask_alpha_white.png", "mask16.png"])
def test_masks_that_failed(bundle, tmp_path, name):
    """A tenth of each may change: 400 of 4096 pixels."""
    path, _ = picture_file(tmp_path / "a.png", 64, 64)
    mask = read_picture(path, bundle, None).mask(TRIALS / name)
    assert mask[:64, :64].mean().item() == 400 / 4096


@pytest.mark.filterwarnings("error")
def test_a_mask_that_protects_nothing_is_told(bundle, tmp_path):
    path, _ = picture_file(tmp_path / "a.png", 37, 29)
    found = read_picture(path, bundle, None)
    levels = Image.new("L", (37, 29), 255)
    levels.save(tmp_path / "mask.png")
    with pytest.raises(UserWarning, match=r"mask\.png is white everywhere and protects nothing"):
        found.mask(tmp_path / "mask.png")
    levels.putpixel((3, 3), 0)
    levels.save(tmp_path / "mask.png")
    assert found.mask(tmp_path / "mask.png").sum() == 29 * 37 - 1
    found.mask(None)
