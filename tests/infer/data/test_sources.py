"""How a source is named: the embedded avatars, a folder, an archive, shards."""

import json
import zipfile

import pytest
import torch

from latentgeo.infer.data import sources
from latentgeo.infer.data.folder import Folder, Zipped
from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.shards import Shards
from latentgeo.infer.data.sources import avatars, open_source
from tests.train.data.test_stream import make_folder, make_shards, png


def make_zip(path):
    rows = [
        {"file_name": f"{i}.png", "text": f"c{i}", "attributes": {"n": str(i)}, "split": split}
        for i, split in enumerate(["train", "train", "test"])
    ]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
        for i in range(3):
            file.writestr(f"{i}.png", png(i))
    return path


def test_a_source_is_named_by_one_word(tmp_path):
    """Folder, zip, shard, pattern of shards and folder of shards."""
    shards = make_shards(tmp_path / "s", (1, 1))
    folder = make_folder(tmp_path / "d", 2)
    archive = make_zip(tmp_path / "a.zip")
    for spec, kind, n in [
        (folder, Folder, 2),
        (archive, Zipped, 3),
        (shards / "00.tar", Shards, 1),
        (shards, Shards, 2),
        (f"{shards}/{{00..01}}.tar", Shards, 2),
    ]:
        source = open_source(str(spec), 8)
        assert isinstance(source, kind)
        assert len(source.paths if isinstance(source, Shards) else source) == n
    assert len(open_source(str(archive), 8, split="test")) == 1
    for missing in ("gone", "gone.tar", "gone.zip", "gone-{0..3}.tar"):
        with pytest.raises(FileNotFoundError, match="gone"):
            open_source(str(tmp_path / missing), 8)
    with pytest.raises(ValueError, match="shards have no splits"):
        open_source(str(shards), 8, split="test")
    with pytest.raises(ValueError, match="'skip' or 'fail'"):
        open_source(str(folder), 8, "retry")


def test_avatars_reads_the_file_in_the_package(tmp_path, monkeypatch):
    """The split is train unless it is named; captions and attributes go with the examples."""
    make_zip(tmp_path / "avatars.zip")
    monkeypatch.setattr(sources, "AVATARS", tmp_path / "avatars.zip")
    assert [len(avatars(split, 8)) for split in ("train", "test", "all")] == [2, 1, 3]
    source = open_source("avatars:test", 8)
    assert source.captions == ["c2"] and source.attributes == [{"n": "2"}]
    assert len(open_source("avatars", 8)) == 2 and source.framing == Framing(size=8)
    with pytest.raises(ValueError, match="split: got 'dev' of avatars"):
        open_source("avatars:dev", 8)


def test_the_embedded_avatars_are_whole():
    """Every embedded face can be read, states its attributes, and is in one split."""
    source = avatars("all", on_bad="fail")
    images = torch.stack([source.read(i).image for i in range(0, len(source), 16)])
    assert images.shape[1:] == (3, 64, 64)
    assert all(source.captions) and all(source.attributes)
    assert len(avatars("train")) + len(avatars("test")) == len(source)
