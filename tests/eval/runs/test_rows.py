"""Rows on disk: added, read back whatever rank wrote them, and guarded by their settings."""

import json

import pytest

from latentgeo.eval.runs.rows import append_rows, by_prompt, open_rows, read_rows


def test_rows_of_all_ranks_come_back(tmp_path, monkeypatch):
    assert open_rows(tmp_path, {"seed": 1}, by_prompt) == {}
    append_rows(tmp_path, [{"prompt": 0, "d": [1.5]}])
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    append_rows(tmp_path, [{"prompt": 1, "d": [2.5]}])
    append_rows(tmp_path, [{"prompt": 3, "d": [0.1]}])
    assert {i: row["d"] for i, row in read_rows(tmp_path, by_prompt).items()} == {
        0: [1.5],
        1: [2.5],
        3: [0.1],
    }
    assert sorted(path.name for path in tmp_path.glob("rows-*")) == ["rows-0.jsonl", "rows-1.jsonl"]


@pytest.mark.parametrize("torn", ['{"prompt": 1, "d": [0', "{}", "[1]", '"x"', "{"])
def test_a_torn_line_is_passed_over_and_ended(tmp_path, torn):
    append_rows(tmp_path, [{"prompt": 0}])
    path = tmp_path / "rows-0.jsonl"
    path.write_text(path.read_text() + torn)
    append_rows(tmp_path, [{"prompt": 1}])
    append_rows(tmp_path, [{"prompt": 2}])
    assert sorted(read_rows(tmp_path, by_prompt)) == [0, 1, 2]
    assert len(path.read_text().splitlines()) == 4


def test_settings_must_agree_and_the_difference_is_named(tmp_path):
    open_rows(tmp_path, {"steps": 5, "models": ("a",), "w": 2.0}, by_prompt)
    assert open_rows(tmp_path, {"w": 2.0, "models": ["a"], "steps": 5}, by_prompt) == {}
    with pytest.raises(ValueError, match=r"other settings \(extra, steps\)"):
        open_rows(tmp_path, {"steps": 6, "models": ("a",), "w": 2.0, "extra": 1}, by_prompt)
    assert json.loads((tmp_path / "settings.json").read_text())["steps"] == 5


def test_rows_may_have_another_key(tmp_path):
    def key(row):
        return row["case"], row["contender"]

    append_rows(
        tmp_path, [{"case": "a", "contender": "x", "ms": 1}, {"machine": "a line that is none"}]
    )
    append_rows(tmp_path, [{"case": "a", "contender": "y", "ms": 2}])
    assert open_rows(tmp_path, {}, key) == read_rows(tmp_path, key)
    assert {k: row["ms"] for k, row in read_rows(tmp_path, key).items()} == {
        ("a", "x"): 1,
        ("a", "y"): 2,
    }
