"""Pairs of faces: the two differ where the change is, and the list names every file."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.models.judges.captions import ATTRIBUTES, parse_caption
from latentgeo.train.sets.avatar_pairs import CHANGES, pair

RENDERER = "rendering needs the extra 'data' (python_avatars, resvg_py)"


def test_changes_are_of_the_grammar():
    """Values that the attribute has, and texts that state them and nothing else."""
    for change in CHANGES.values():
        for value, text in zip(change.values, change.texts, strict=True):
            assert value in ATTRIBUTES[change.attribute]
            stated = {} if value == "none" else {change.attribute: value}
            assert parse_caption(text) == stated


def test_pairs_differ_in_one_place_alone(tmp_path):
    pytest.importorskip("python_avatars", reason=RENDERER)
    pytest.importorskip("resvg_py", reason=RENDERER)
    before, after = (
        np.asarray(Image.open(io.BytesIO(x))) for x in pair(CHANGES["smile"], 4, 1, 32)
    )
    rows = np.nonzero((before != after).any((1, 2)))[0]
    assert before.shape == (32, 32, 3) and 0 < len(rows) < 10  # the mouth's rows
    out = tmp_path / "pairs"
    assert main(["render-pairs", "--out", str(out), "--count", "1", "--size", "16"]) == 0
    lines = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert [line["change"] for line in lines] == list(CHANGES)
    assert all((out / file).is_file() for line in lines for file in line["images"])
