"""Pictures: values, sizes, the settings inside a PNG, and that a file is whole or not there."""

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.pictures.images import (
    GAP,
    TILE,
    enlarge,
    grid,
    png_bytes,
    read_metadata,
    save_gif,
    save_png,
    to_picture,
)


def plain(colour, size=(8, 8)):
    return Image.new("RGB", size, colour)


def test_pixel_values_at_the_ends_and_beyond():
    image = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0]).expand(3, 2, 5)
    picture = to_picture(image)
    assert picture.size == (5, 2)
    assert [picture.getpixel((x, 0))[0] for x in range(5)] == [0, 0, 128, 255, 255]


def test_every_level_of_eight_bits_survives():
    levels = torch.arange(256)
    image = (levels.float() / 127.5 - 1).expand(3, 1, 256)
    picture = to_picture(image)
    assert [picture.getpixel((x, 0)) for x in range(256)] == [(x, x, x) for x in range(256)]


def test_channels_keep_their_order():
    image = torch.tensor([1.0, -1.0, -1.0]).reshape(3, 1, 1)
    assert to_picture(image).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 4, 4), (4, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"wanted \(3, H, W\)"):
        to_picture(torch.zeros(shape))


def test_settings_come_back_from_the_file(tmp_path):
    settings = {"prompt": "ein Bär, “froh” ☺\nmit Hut", "seed": 7, "guidance": 2.5, "lora": None}
    path = save_png(tmp_path / "new" / "a.png", plain("red"), settings)
    assert read_metadata(path) == settings
    with Image.open(path) as picture:
        assert picture.text["prompt"] == settings["prompt"]
        assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_a_file_without_settings_says_so(tmp_path):
    path = save_png(tmp_path / "a.png", plain("red"))
    with pytest.raises(ValueError, match="holds no latentgeo settings"):
        read_metadata(path)


def test_the_same_picture_is_the_same_bytes():
    assert png_bytes(plain("red"), {"seed": 1}) == png_bytes(plain("red"), {"seed": 1})


def test_small_tiles_are_enlarged_by_whole_pixels():
    picture = Image.new("RGB", (2, 1))
    picture.putpixel((0, 0), (255, 255, 255))
    large = enlarge(picture, 7)
    assert large.size == (14, 7)
    assert (np.asarray(large)[:, :7] == 255).all() and (np.asarray(large)[:, 7:] == 0).all()
    assert enlarge(plain("red", (TILE, TILE))).size == (TILE, TILE)


def test_tiles_are_where_they_belong():
    rows = [[plain("red", (99, 99)), plain("green", (99, 99))], [plain("blue", (99, 99))]]
    sheet = grid(rows, gap=5)
    assert sheet.size == (2 * 99 + 5, 2 * 99 + GAP)
    assert sheet.getpixel((50, 50)) == (255, 0, 0)
    assert sheet.getpixel((150, 50)) == (0, 128, 0)
    assert sheet.getpixel((50, 150)) == (0, 0, 255)
    assert sheet.getpixel((150, 150)) == (255, 255, 255)


def test_labels_and_captions_make_room_and_do_not_cover_tiles():
    rows = [[plain("red", (99, 99)), plain("red", (99, 99))]] * 2
    sheet = grid(
        rows,
        row_labels=["base", "smooth"],
        column_labels=["one", "two"],
        captions=[["a long caption that must be broken into lines", ""], ["", "x"]],
    )
    pixels = np.asarray(sheet)
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == 4 * 99 * 99
    assert (pixels == (32, 32, 32)).all(axis=2).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row_labels": ["a", "b"]}, "row_labels"),
        ({"column_labels": ["a"]}, "column_labels"),
        ({"captions": [["a"]]}, "captions"),
    ],
)
def test_labels_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        grid([[plain("red"), plain("red")]], **options)


@pytest.mark.parametrize("rows", [[], [[]], [[plain("red"), plain("red", (3, 3))]]])
def test_grids_without_tiles_of_one_size_are_refused(rows):
    with pytest.raises(ValueError, match="one size"):
        grid(rows)


def test_a_strip_has_no_gaps():
    assert grid([[plain("red", (99, 99))] * 3], gap=0).size == (297, 99)


def test_an_animation_runs_there_and_back(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    path = save_gif(tmp_path / "a.gif", [plain(colour) for colour in colours])
    with Image.open(path) as animation:
        assert animation.info["loop"] == 0
        shown = []
        for i in range(animation.n_frames):
            animation.seek(i)
            shown.append(animation.convert("RGB").getpixel((0, 0)))
    assert shown == [*colours, colours[2], colours[1]]
    with pytest.raises(ValueError, match="at least 2"):
        save_gif(tmp_path / "b.gif", [plain("red")])
