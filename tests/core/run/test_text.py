"""Text as people's programs write it: marks are dropped, UTF-16 is decoded by its own."""

import codecs
import json
from pathlib import Path

import pytest

from latentgeo.core.run.config import kinds, read_toml
from latentgeo.core.run.text import decoded, read_lines, read_text, utf8
from latentgeo.infer.sampling.sample import read_prompts
from latentgeo.models.formats.files.json_object import read_json
from latentgeo.train.loop.settings import Training

TEXT = "a café\nλ 眼镜 😀\n"
BYTES = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16 little": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16 big": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-32 little": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "utf-32 big": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
}
TRIALS = Path(__file__).parents[3].parent / "shared" / "trials"


@pytest.mark.parametrize("data", BYTES.values(), ids=list(BYTES))
def test_the_text_is_the_same_however_it_is_written(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_text(path) == TEXT
    assert read_lines(path) == read_prompts([], path) == ["a café", "λ 眼镜 😀"]
    assert utf8(data, "x") == TEXT.encode()


def test_lines_end_as_on_any_system_and_nowhere_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes("one \u2028 line\r\n\r\ntwo\x0b\rthree\n ".encode())
    assert read_text(path) == "one \u2028 line\n\ntwo\x0b\nthree\n "
    assert read_lines(path) == ["one \u2028 line", "two", "three"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"caf\xe9", "x: not UTF-8 text: unexpected end of data at byte 3; save it as UTF-8"),
        (b"a\xe9b", "x: not UTF-8 text: invalid continuation byte at byte 1; save it as UTF-8"),
        ("ab".encode("utf-16-le"), "x: not UTF-8 text: zero bytes, as of UTF-16; save it as UTF-8"),
        (
            codecs.BOM_UTF16_LE + b"a",
            "x: not UTF-8 or UTF-16 text: truncated data at byte 2; save it as UTF-8",
        ),
    ],
)
def test_what_is_no_text_is_named_with_its_place(data, message):
    with pytest.raises(ValueError) as refused:
        decoded(data, "x")
    assert str(refused.value) == message


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b""])
def test_toml_and_json_may_have_a_mark(tmp_path, mark):
    (tmp_path / "a.toml").write_bytes(mark + b"seed = 5\r\n")
    assert read_toml(tmp_path / "a.toml", kinds(Training), "training") == {"seed": 5}
    (tmp_path / "a.json").write_bytes(mark + json.dumps({"a": 1}).encode())
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.skipif(not TRIALS.is_dir(), reason="the inputs that failed are not here")
def test_the_prompt_file_that_drew_another_image():
    with_mark, without = (TRIALS / "text" / name for name in ("bom.txt", "nobom.txt"))
    assert read_lines(with_mark) == read_lines(without)
    assert read_lines(with_mark)[0] == "a person"
