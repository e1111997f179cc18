"""A segmenter beside exact masks: the command on faces whose masks are what it sees, and others."""

import json

import numpy as np
import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.eval.judges.segmenter import read_mask
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.models.judges.segmenter import load_segmenter


def written(folder, masks, names):
    for name, mask in zip(names, masks, strict=True):
        Image.fromarray(mask.numpy().astype(np.uint8)).save(folder / f"{name.split('.')[0]}.png")


def test_of_masks_that_it_sees_itself_and_of_wrong_ones(tmp_path):
    """Its own segmentation it agrees with; a quarter of the rows changed is a quarter less."""
    held = captioned().first(3)
    seen = load_segmenter().read(held.images(64))
    masks = tmp_path / "masks"
    masks.mkdir()
    written(masks, seen, held.names)
    assert main(["eval-segmenter", "--masks", str(masks), "--out", str(tmp_path / "a")]) == 0
    assert value(tmp_path / "a", "pixel agreement") == value(tmp_path / "a", "mean IoU") == 1
    seen[:, :16] = (seen[:, :16] + 1) % 9
    written(masks, seen, held.names)
    assert main(["eval-segmenter", "--masks", str(masks), "--out", str(tmp_path / "b")]) == 0
    assert value(tmp_path / "b", "pixel agreement") == 0.75
    assert value(tmp_path / "b", "mean IoU") < 1


def test_a_mask_of_colours_is_named(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: not a mask of parts \(got mode RGB"):
        read_mask(tmp_path / "a.png", 9)


def value(folder, metric):
    rows = json.loads((folder / "results.json").read_text())["results"]
    assert {row["n"] for row in rows if not row["metric"].startswith("IoU")} == {3}
    return next(row["value"] for row in rows if row["metric"] == metric)


def test_without_masks_it_says_so(tmp_path, capsys):
    assert main(["eval-segmenter", "--masks", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "no mask of a held-out face" in capsys.readouterr().err
