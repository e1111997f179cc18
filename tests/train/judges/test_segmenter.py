"""Training of the segmenter: faces with masks, a run that learns, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.data.items import BadItem
from latentgeo.models.judges.segmenter import load_segmenter
from latentgeo.train.data.stream import collate, open_source
from latentgeo.train.judges.segmenter import Masked, parted


@pytest.fixture
def faces(tmp_path):
    """Seven pictures, dark on the left of a place of their own and bright on the right: 0 and 4."""
    masks, lines = tmp_path / "masks", []
    masks.mkdir()
    (tmp_path / "faces").mkdir()
    for i in range(7):
        parts = np.where(np.arange(16)[None] < 4 + i, 0, 4).repeat(16, 0).astype(np.uint8)
        pixels = np.where(parts[..., None] == 0, 40, 215).repeat(3, 2).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{i}.png")
        Image.fromarray(parts).save(masks / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png", "text": f"face {i}"}))
    (tmp_path / "faces" / "metadata.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_a_mask_travels_as_a_fourth_channel(faces):
    source = Masked(open_source(str(faces / "faces"), 16), faces / "masks")
    assert len(source) == 7
    batch, _ = collate([source.read(i) for i in (2, 5)])
    images, parts = parted(batch)
    assert parts.dtype == torch.int64 and set(parts.unique().tolist()) == {0, 4}
    torch.testing.assert_close(images.mean(1) > 0, parts == 4)


def test_run_learns_what_it_can_see(faces):
    out = faces / "out"
    data = ["--data", str(faces / "faces"), "--masks", str(faces / "masks"), "--size", "16"]
    how = ["--steps", "40", "--batch", "7", "--warm-up", "1", "--ema", "0.5", "--rate", "0.01"]
    assert main(["train-segmenter", "--out", str(out), *data, *how]) == 0
    source = Masked(open_source(str(faces / "faces"), 16), faces / "masks")
    images, parts = parted(collate([source.read(i) for i in range(7)])[0])
    found = load_segmenter(out / "segmenter.safetensors").read(images)
    assert (found == parts).float().mean() > 0.95


def test_missing_and_wrong_masks(faces):
    source = open_source(str(faces / "faces"), 16)
    with pytest.raises(FileNotFoundError, match="render-masks makes them"):
        Masked(source, faces / "nowhere")
    masked = Masked(source, faces / "masks")
    (faces / "masks" / "3.png").unlink()
    with pytest.raises(BadItem, match="missing mask"):
        masked.read(3)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(faces / "masks" / "3.png")
    with pytest.raises(BadItem, match="another size"):
        masked.read(3)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(faces / "masks" / "3.png")
    with pytest.raises(BadItem, match=r"3\.png: not a mask of parts \(got mode RGB"):
        masked.read(3)
