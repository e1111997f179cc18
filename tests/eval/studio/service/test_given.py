"""What a page sends is trusted in nothing."""

import base64
import io
import json

import pytest
from PIL import Image

from latentgeo.eval.studio.service import given
from latentgeo.eval.studio.service.given import Given, safe_name


def sent(**files):
    def part(name, content):
        return {"name": name, "data": "data:;base64," + base64.b64encode(content).decode()}

    return json.dumps({slot: part(*file) for slot, file in files.items()})


def png(width=5, height=3):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat.png", "cat.png"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\cat.png", "cat.png"),
        ("..", "image"),
        ("-rf.png", "rf.png"),
        ("a\0b\n$(c).png", "a_b___c_.png"),
        ("", "image"),
    ],
)
def test_a_name_is_one_in_a_folder(name, safe):
    assert safe_name(name) == safe


def test_an_image_keeps_its_name_and_bytes(tmp_path):
    both = Given(sent(first=("cat.png", png()), last=("cat.png", png(4, 4))))
    first, last = (both.image(slot, tmp_path) for slot in ("first", "last"))
    assert [first.name, last.name] == ["cat.png", "other-cat.png"]
    assert first.read_bytes() == png() and first.parent == last.parent == tmp_path
    assert both.image("mask", tmp_path) is None
    with pytest.raises(ValueError, match="mask: got none, wanted an image's file"):
        both.needed("mask", tmp_path)


def test_bytes_and_pixels_are_limited(tmp_path, monkeypatch):
    """Pixels by the header, before anything is decoded."""
    monkeypatch.setattr(given, "MOST_BYTES", 2**20)
    monkeypatch.setattr(given, "MOST_PIXELS", 12)
    with pytest.raises(ValueError, match=r"a\.png: got 1\.5 MiB, wanted at most 1"):
        Given(sent(image=("a.png", bytes(3 * 2**19)))).image("image", tmp_path)
    with pytest.raises(ValueError, match=r"b\.png: got 5 × 3 pixels, wanted at most 12 in all"):
        Given(sent(image=("b.png", png()))).image("image", tmp_path)


@pytest.mark.parametrize("text", ["[", "[]", '{"points": [[1, 2]]}', '{"points": [["a"]]}', "7"])
def test_what_no_page_sends_is_refused(text):
    with pytest.raises(ValueError, match="the page sent what it never sends; load it again"):
        Given(text)


@pytest.mark.parametrize("part", [{"name": "a"}, {"name": "a", "data": "x,&"}, {}, [], 3])
def test_a_file_that_is_none_is_refused(part, tmp_path):
    with pytest.raises(ValueError, match=r"the page sent no file; choose it again|empty file"):
        Given(json.dumps({"image": part})).image("image", tmp_path)
