"""What `latentgeo cache` reads: every kind of source, in the order of its files, by one process."""

from pathlib import Path

import pytest

from latentgeo.train.cache_writer import chunks, data_digest, readers, write_cache
from latentgeo.train.data.stream import open_source
from latentgeo.train.settings import Cache
from tests.infer.data.test_shards import sample, write_tar


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    """And so are the images of a folder; a split of the avatars is data of its own."""
    for shard in (0, 1):
        members = [m for i in range(3 * shard, 3 * shard + 3) for m in sample(i)]
        write_tar(tmp_path / f"s-{shard}.tar", members)
    source = open_source(str(tmp_path / "s-{0..1}.tar"), 8)
    assert [read().caption for read in readers(source)] == [f"caption {i}" for i in range(6)]
    assert data_digest(str(tmp_path / "s-{0..1}.tar")) != data_digest(
        str(tmp_path / "s-{0..0}.tar")
    )
    assert data_digest("avatars:test") != data_digest("avatars")
    faces = open_source("avatars:test", 8)
    assert len(list(readers(faces))) == len(faces)  # type: ignore[arg-type]


def test_chunks_leave_nothing_out() -> None:
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks([], 3)) == []


def test_ranks_do_not_write_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="one process makes it"):
        write_cache(Cache(out=tmp_path))
