"""What a run finds: how many images, how many it cannot use, and what was cut off."""

import pytest
from PIL import Image

from latentgeo.train.data.found import found
from latentgeo.train.data.stream import open_source
from latentgeo.train.loop.session import remembered, stream
from latentgeo.train.loop.settings import Training

SIZES = {"a": (64, 64), "b": (40, 52), "c": (300, 100)}


@pytest.fixture
def folder(tmp_path):
    for name, size in SIZES.items():
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a red {name}")
    return tmp_path


@pytest.mark.filterwarnings("ignore:skipped")
def test_all_that_is_read_before_the_run_is_told(folder, tmp_path, capsys):
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("nothing")
    Image.new("RGB", (64, 64)).save(folder / "alone.png")
    settings = Training(out=tmp_path / "out", batch=2)
    source = remembered(open_source(str(folder), 64))
    stream(source, settings)
    line = capsys.readouterr().out
    assert line.startswith("found 3 images, 2 skipped (1 no caption, 1 ")
    assert line.endswith(
        ", 64 x 64, up to 200 pixels cut off a side, the smallest enlarged from 40 pixels, "
        "the largest reduced from 100\n"
    )


def test_squares_of_the_size_lose_nothing(folder):
    for name in "bc":
        (folder / f"{name}.png").unlink()
    source = open_source(str(folder), 64)
    source.read(0)
    assert found(source, 1) == "found 1 images, 0 skipped, 64 x 64, nothing cut off"


def test_what_is_read_while_training_is_not_claimed_to_be_known(folder, tmp_path, capsys):
    stream(open_source(str(folder), 8, flip=True), Training(out=tmp_path / "out", batch=2))
    line = capsys.readouterr().out
    assert line == "found 3 images, 0 skipped so far, 8 x 8, read while training\n"
