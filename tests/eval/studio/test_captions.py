"""The tab Captions: methods beside each other, the files their commands write, and what is cut."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from latentgeo.eval.studio.captions import column, edited
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.parts import sheet
from latentgeo.infer.pictures.images import GAP, enlarge, grid
from latentgeo.infer.text_edits.settings import EditText
from tests.eval.studio.tabs import done, same_bytes, tab


def test_a_column_of_a_strip_is_its_image(tmp_path):
    """Images of one colour each come back from the strip that `grid` makes of them."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    tiles = [Image.new("RGB", (8, 8), colour) for colour in colours]
    grid([tiles], row_labels=["model"], column_labels=["a", "b", "c"]).save(tmp_path / "strip.png")
    found = sheet(tmp_path / "strip.png", 1, 3, enlarge(tiles[0]).size, GAP)
    for i, colour in enumerate(colours):
        wanted = torch.tensor(colour).reshape(1, 3, 1, 1) / 127.5 - 1
        image = column(tmp_path / "strip.png", found, i)
        assert image.shape[2:] == (found.tile[1], found.tile[0])
        assert torch.equal(image, wanted.expand_as(image))


def test_methods_are_beside_each_other_and_their_commands_make_the_same_bytes(page, tmp_path):
    tab(page, "Captions")
    page.fill("#captions-steps input[type=number]", "2")
    line = done(page, "captions")
    assert len(line.splitlines()) == 4
    assert page.locator("#captions-result .window").count() == 6
    files = {"sdedit-strip.png": "captions/sdedit/strip.png"}
    assert same_bytes(page, "captions", line.splitlines()[1], tmp_path, files)


def test_no_method_is_a_sentence():
    how = EditText(source="a", target=("b",), out=Path("out"))
    with pytest.raises(ValueError, match="methods: got none, wanted one or more"):
        edited(Job(lambda job: "", EditText, {}), how, [])
