"""What a script computes is kept in files, the same for the same results."""

import io

import pytest
from PIL import Image, ImageChops

from latentgeo.eval.course.computed import COLUMNS, Computed, compute, files, kept, layout, themed

RED, BLUE = (200, 30, 30), (30, 30, 200)
FRAMES = {f"t = {i}": Image.new("RGB", (5, 3), RED if i % 2 else BLUE) for i in range(COLUMNS + 1)}
FOUND = Computed(
    numbers={"third": 1 / 3, "n": 5},
    pictures={"line": "<svg width='3'><path/></svg>", "face": FRAMES["t = 1"]},
    frames={"walk": FRAMES},
)


def test_numbers_and_captions_come_back():
    numbers, captions = kept(files(FOUND))
    assert numbers == {"third": pytest.approx(1 / 3, rel=1e-9), "n": 5}
    assert captions == {"walk": list(FRAMES)}


def test_a_picture_is_its_kind_of_file_and_the_same_each_time():
    found = files(FOUND)
    assert set(found) == {"numbers.json", "line.svg", "face.png", "walk.frames.png"}
    assert found == files(FOUND)
    face = Image.open(io.BytesIO(found["face.png"])).convert("RGB")
    assert ImageChops.difference(face, FRAMES["t = 1"]).getbbox() is None


def test_frames_lie_in_rows():
    """Seven are four and three, and the last place is white."""
    sheet = Image.open(io.BytesIO(files(FOUND)["walk.frames.png"])).convert("RGB")
    assert sheet.size == (5 * 4, 3 * 2)
    found = [sheet.getpixel(at) for at in ((4, 2), (5, 0), (0, 3), (5, 3), (15, 3))]
    assert found == [BLUE, RED, BLUE, RED, (255, 255, 255)]
    assert [layout(count) for count in (1, 6, 7, 13)] == [(1, 1), (6, 1), (4, 2), (5, 3)]


def test_a_drawing_takes_the_colours_of_its_page_and_few_bytes():
    shape = "<path d='M 1.23456 7\n  L -10.5 3.999'\n stroke='currentColor'/>"
    svg = themed(f"<svg width='3.14159'>\n <metadata>a\n</metadata><!-- > -->\n {shape}\n</svg>\n")
    head, _, rest = svg.partition("</style>")
    assert head.startswith("<svg width='3.14'><style>")
    assert head.count("svg { color:") == 2 and "prefers-color-scheme: dark" in head
    assert rest == "<path d='M 1.23 7 L -10.5 3.99' stroke='currentColor'/></svg> "


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        files(Computed(numbers={"worst": float("nan")}))
    odd = {"a": FRAMES["t = 1"], "b": Image.new("RGB", (4, 3))}
    with pytest.raises(ValueError, match=r"^frames walk: got 5 x 3 and .*, wanted one size$"):
        files(Computed(numbers={}, frames={"walk": odd}))


def test_a_script_that_is_not_there():
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        compute("nowhere", quick=True)
