"""Exact masks: colours that map to parts and back, and masks that fit the picture they are of."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.models.judges.segmenter import PARTS
from latentgeo.train.sets.avatar_masks import COLOURS, SUPERSAMPLING, majority, mask, numbers
from latentgeo.train.sets.avatars import face_plan, picture

RENDERER = "rendering needs the extra 'data' (python_avatars, resvg_py)"


def test_every_colour_is_its_part_also_nearly():
    """Within 60 of 255 per channel; what is transparent is background."""
    rng = np.random.default_rng(0)
    for part, colour in enumerate(COLOURS[1:], start=1):
        near = np.clip(np.array(colour) + rng.integers(-60, 61, (7, 11, 3)), 0, 255)
        rgba = np.concatenate([near, np.full((7, 11, 1), 255)], axis=2).astype(np.uint8)
        assert (numbers(rgba) == part).all()
    assert (numbers(np.array([[[255, 255, 255, 100]]], np.uint8)) == 0).all()


def test_majority_of_cells():
    """Of a cell's sixteen pixels the most frequent part; of as many the lesser number."""
    k = SUPERSAMPLING
    fine = np.zeros((k, 2 * k), np.uint8)
    fine[:, : k // 2 + 1] = 3  # 12 of 16
    fine[: k // 2, k:] = 5  # 8 of 16
    assert majority(fine).tolist() == [[3, 0]]


def test_masks_fit_the_pictures():
    """Background, skin and clothes have their colour; sunglasses change their own pixels."""
    pytest.importorskip("python_avatars", reason=RENDERER)
    pytest.importorskip("resvg_py", reason=RENDERER)
    values, _, look = face_plan(3, 0)
    hexes = {"background": "#2040ff", "skin": "#20c040", "clothes_colour": "#d02020"}
    look = replace(look, hexes={**look.hexes, **hexes})
    values |= {"clothes": "t-shirt", "accessory": "none", "facial_hair": "none", "hair": "short"}
    pixels = np.asarray(picture(values, look, 32)).astype(int)
    parts = mask(values, look, 32)
    for part, channel in (("background", 2), ("skin", 1), ("clothes", 0)):
        chosen = pixels[parts == PARTS.index(part)]
        assert (chosen.argmax(1) == channel).mean() > 0.97
    with_glasses = mask(values | {"accessory": "sunglasses"}, look, 32)
    new = with_glasses != parts
    assert new.sum() > 10  # at an edge what is left of the skin may be less than the background
    assert (with_glasses[new] == PARTS.index("glasses")).mean() > 0.95


def test_command_writes_masks_of_the_faces(tmp_path, capsys):
    """Pixels are part numbers, and the shares that are printed add up to 1."""
    pytest.importorskip("python_avatars", reason=RENDERER)
    pytest.importorskip("resvg_py", reason=RENDERER)
    out = tmp_path / "masks"
    assert (
        main(["render-masks", "--out", str(out), "--count", "2", "--seed", "5", "--size", "16"])
        == 0
    )
    shares = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    values, _, look = face_plan(1, 5)
    with Image.open(out / "000001.png") as found:
        assert np.array_equal(np.asarray(found), mask(values, look, 16))
