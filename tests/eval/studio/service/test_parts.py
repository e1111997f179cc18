"""Windows on the tiles of a grid, and links that hold what they save."""

import base64
import re

import pytest
from PIL import Image

from latentgeo.eval.studio.service.jobs import Seen
from latentgeo.eval.studio.service.parts import scrubber, sheet, status, to_keep
from latentgeo.infer.pictures.images import GAP, grid, save_png

SIDE = 100  # of a tile, which is not enlarged
COLOURS = [["red", "lime", "blue"], ["cyan", "magenta", "yellow"]]


@pytest.mark.parametrize("gap", [0, GAP])
@pytest.mark.parametrize("labels", [{}, {"row_labels": ["a", "longer"], "column_labels": "xyz"}])
def test_a_window_shows_its_tile(tmp_path, gap, labels):
    """The window's style, read as a browser does, leads to the tile's own colour."""
    rows = [[Image.new("RGB", (SIDE, SIDE), colour) for colour in row] for row in COLOURS]
    path = save_png(tmp_path / "a.png", grid(rows, gap=gap, **labels))
    found = sheet(path, 2, 3, (SIDE, SIDE), gap)
    with Image.open(path) as picture:
        for row, colours in enumerate(COLOURS):
            for column, colour in enumerate(colours):
                window = found.tiles(row, column)
                left, top, width = (
                    float(re.search(rf"[ ;\"]{name}: (-?[\d.]+)%", window)[1]) / 100 * SIDE
                    for name in ("left", "top", "width")
                )
                assert width == pytest.approx(picture.width, abs=0.01)
                corner = (-left, -top)
                box = tuple(round(side) for side in (*corner, corner[0] + SIDE, corner[1] + SIDE))
                tile = picture.crop(box)
                assert tile.getcolors() == [
                    (SIDE**2, Image.new("RGB", (1, 1), colour).getpixel((0, 0)))
                ]


def test_what_is_kept_is_the_file_and_text_is_text(tmp_path):
    path = tmp_path / "a&b.png"
    path.write_bytes(b"bytes of any kind")
    link = re.fullmatch(r'<p .*download="a&amp;b.png" href="data:.*?,(.*)">.*</p>', to_keep([path]))
    assert base64.b64decode(link[1]) == b"bytes of any kind"
    assert '"<b>' not in scrubber([("", "<b>")], ['"<b>']) and "&lt;b&gt;" in scrubber([], ["<b>"])
    assert "<script>" not in status(Seen(error="<script>", said=("<script>",)))
