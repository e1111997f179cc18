"""Conditions on metadata: what they keep, in a folder, a zip and a shard, and what is an error."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from latentgeo.infer.data.items import BadItem
from latentgeo.infer.data.where import all_hold, condition, conditions
from latentgeo.train.data.stream import open_source
from tests.infer.data.test_shards import png, write_tar

SCORES = (7.1, 6.5, 6.4, "6.9", None, "high", 5)  # a text that is a number counts as one


def rows() -> list[dict[str, object]]:
    """Metadata of seven pictures; the fifth has no score, the sixth one that is none."""
    scored = [{"aesthetic": s} if s is not None else {} for s in SCORES]
    return [{"width": 8 + i, "tongue": "en", **row} for i, row in enumerate(scored)]


@pytest.fixture(params=["folder", "zip", "shards"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    lines = [{"file_name": f"{i}.png", "text": f"c{i}", **row} for i, row in enumerate(rows())]
    files = {f"{i}.png": png(i) for i in range(len(SCORES))}
    files["metadata.jsonl"] = "\n".join(map(json.dumps, lines)).encode()
    if request.param == "folder":
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        return str(tmp_path)
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return str(tmp_path / "a.zip")
    members = []
    for i, row in enumerate(rows()):
        members += [(f"{i}.png", png(i)), (f"{i}.txt", b"c%d" % i)]
        members += [(f"{i}.json", json.dumps(row).encode())]
    return str(write_tar(tmp_path / "a.tar", members))


def captions(spec: str, *where: str) -> list[str]:
    source = open_source(spec, 8, where=where)
    count = len(source) if hasattr(source, "__len__") else source.size_of(0)
    return [
        (source.read(i) if hasattr(source, "entries") else source.read(0, i)).caption
        for i in range(count)
    ]


def test_what_meets_the_conditions_is_kept(spec: str) -> None:
    with pytest.warns(UserWarning, match=r"no field 'aesthetic'|is no number"):
        assert captions(spec, "aesthetic>=6.5") == ["c0", "c1", "c3"]
    with pytest.warns(UserWarning):
        assert captions(spec, "aesthetic < 7", "width>8", "tongue==en") == ["c1", "c2", "c3", "c6"]
    assert captions(spec, "width != 9") == ["c0", "c2", "c3", "c4", "c5", "c6"]


def test_a_field_that_nothing_has_is_named(spec: str) -> None:
    """Not an empty set in silence: the error says what is missing and what was asked."""
    message = "with esthetic>=6.5.*7 no field 'esthetic'"
    with (
        pytest.warns(UserWarning, match="there are .*width"),
        pytest.raises(ValueError, match=message),
    ):
        captions(spec, "esthetic>=6.5")
    with pytest.raises(BadItem, match="no field 'esthetic'"):
        open_source(spec, 8, "fail", where=("esthetic>=6.5",))


def test_what_is_left_out_is_not_bad(spec: str) -> None:
    """Items that do not meet a condition are no reason to stop under on_bad = fail."""
    source = open_source(spec, 8, "fail", where=("width>=10",))
    assert not source.bad


@pytest.mark.parametrize(
    "text", ["aesthetic", "aesthetic=6", ">=6", "a>=", "a>=b", "a>=nan", "a>1<2"]
)
def test_what_is_no_condition_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        conditions([text])


def test_numbers_compare_as_numbers_and_texts_as_texts() -> None:
    assert all_hold(conditions(["n<10"]), {"n": 9}, "x") and not condition("n>9").holds(
        {"n": 9}, "x"
    )
    assert condition("n<=9.0").holds({"n": "9"}, "x") and condition("n==9").holds({"n": 9.0}, "x")
    assert condition("s==a b").holds({"s": "a b"}, "x")
    assert str(condition(" n <= 9.50 ")) == "n<=9.5"
    with pytest.raises(BadItem, match="is no number"):
        condition("n>0").holds({"n": True}, "x")
