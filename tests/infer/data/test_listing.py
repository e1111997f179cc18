"""What a source says of its examples before a picture is read: the same that reading gives."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from latentgeo.infer.data.items import BadItem
from latentgeo.infer.data.listing import example, listed, made_of
from latentgeo.infer.data.sources import open_source
from tests.train.data.test_stream import make_folder, make_shards


@pytest.fixture(params=["folder", "zip", "shards"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Seven pictures c0 … c6, picture i of colour (i, 0, i), the fourth of them broken."""
    if request.param == "shards":
        return str(make_shards(tmp_path / "d", (3, 4), bad=(3,)))
    folder = make_folder(tmp_path / "d", 7, bad=(3,))
    if request.param == "folder":
        return str(folder)
    rows = [{"file_name": f"{i:03d}.png", "text": f"c{i}"} for i in range(7)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return shutil.make_archive(str(tmp_path / "a"), "zip", folder)


def test_labels_are_those_of_the_examples(spec: str) -> None:
    source = open_source(spec, 8)
    found = listed(source)
    assert [label.caption for _, label in found] == [f"c{i}" for i in range(7)]
    for i, (place, label) in enumerate(found):
        if i == 3:
            with pytest.raises(BadItem, match=r"003\.png"):
                example(source, place)
        else:
            read = example(source, place)
            assert (read.name, read.caption) == (label.name, label.caption)
            assert np.array_equal(read.image[:, 0, 0], [i, 0, i])


def test_a_caption_of_no_use_is_counted_as_in_training(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", 3)
    (folder / "001.txt").write_text("  ")
    source = open_source(str(folder), 8)
    with pytest.warns(UserWarning, match=r"001\.txt: empty caption"):
        assert [label.caption for _, label in listed(source)] == ["c0", "c2"]
    assert source.rejects.count["empty caption"] == 1


def test_a_cache_that_does_not_say_what_it_is_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text('{"parts": []}')
    with pytest.raises(ValueError, match="does not say what it was made of; run `latentgeo cache`"):
        made_of(str(tmp_path))
    (tmp_path / "cache.json").write_text('{"source": "/data/a.zip", "where": ["width>8"]}')
    assert made_of(str(tmp_path)) == ("/data/a.zip", ("width>8",))
    assert made_of("avatars") == ("avatars", ())
