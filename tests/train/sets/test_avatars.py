"""Tests of the renderer of the avatars, and of the set that was rendered with it."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.models.judges.captions import caption, parse_caption
from latentgeo.train.data.stream import avatars
from latentgeo.train.sets.settings import RenderAvatars

RENDERER = "rendering needs the extra 'data' (python_avatars, resvg_py)"


def test_the_embedded_set_is_whole():
    """2,048 faces, half of them held out, each with a caption that its attributes bear out."""
    train, test = avatars("train"), avatars("test")
    assert len(train) == len(test) == 1024
    for text, values in zip(test.captions, test.attributes, strict=True):
        stated = parse_caption(text)
        assert stated.items() <= values.items()
        assert caption(values, set(stated)) == text
    assert train.read(5).image.shape == (3, 64, 64)


def test_faces_depend_on_seed_and_number_alone(tmp_path):
    """The same face by itself, and in a folder rendered by two processes."""
    pytest.importorskip("python_avatars", reason=RENDERER)
    pytest.importorskip("resvg_py", reason=RENDERER)
    from latentgeo.train.sets.avatars import face, render_avatars

    render_avatars(RenderAvatars(out=tmp_path / "faces", count=5, seed=3, size=32, workers=2))
    image, values, text = face(4, 3, 32)
    assert (tmp_path / "faces" / "000004.webp").read_bytes() == image
    rows = (tmp_path / "faces" / "metadata.jsonl").read_text().splitlines()
    expected = {"file_name": "000004.webp", "text": text, "attributes": values}
    assert json.loads(rows[4]) == expected
    assert Image.open(io.BytesIO(image)).size == (32, 32)
    assert len(rows) == 5 and face(4, 4, 32)[0] != image


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--count", "0", "count must be at least 1"), ("--size", "4", "size must be at least 8")],
)
def test_bad_values_are_one_line(tmp_path: Path, capsys, option, value, message):
    """Exit status 2 and the option's name."""
    assert main(["render-avatars", "--out", str(tmp_path / "x"), option, value]) == 2
    assert message in capsys.readouterr().err
