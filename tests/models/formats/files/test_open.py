"""Opening files by what is in them, shards by their index, and strays by their first bytes."""

import json

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.formats.files.open import Sharded, open_source
from latentgeo.models.formats.files.pickle import PickleFile
from latentgeo.models.formats.files.safetensors import SafeFile

STATE = {name: torch.full((n,), float(n)) for n, name in enumerate("abc", 3)}


def test_the_content_decides_and_not_the_name(tmp_path):
    save_file(STATE, tmp_path / "a.ckpt")
    torch.save(STATE, tmp_path / "b.bin")
    assert isinstance(open_source(tmp_path / "a.ckpt"), SafeFile)
    assert isinstance(open_source(tmp_path / "b.bin"), PickleFile)
    (tmp_path / "b.bin").rename(tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="is a pickle under a safetensors' name"):
        open_source(tmp_path / "b.safetensors")


def test_a_header_whose_length_begins_like_a_pickle_is_safetensors(tmp_path):
    """0x80 is both a pickle's first byte and the lowest of a header's length."""
    path = tmp_path / "file"
    for pad in range(0, 300, 8):
        save_file(STATE, path, {"pad": "x" * pad})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert isinstance(open_source(path), SafeFile)


def shards(tmp_path, homes: dict[str, str]):
    for home in set(homes.values()):
        part = {name: STATE[name] for name in STATE if homes.get(name) == home}
        if "/" not in home:
            save_file(part, tmp_path / home)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return index


def test_shards_are_one_source(tmp_path):
    source = open_source(
        shards(tmp_path, {"a": "1.safetensors", "b": "2.bin", "c": "1.safetensors"})
    )
    assert isinstance(source, Sharded)
    assert {name: entry.shape for name, entry in source.entries.items()} == {
        name: tuple(tensor.shape) for name, tensor in STATE.items()
    }
    for name, tensor in STATE.items():
        assert torch.equal(source.read(name), tensor)
        source.drop(name)
    assert [file.name for file in source.files] == ["1.safetensors", "2.bin"]


def test_an_index_that_lies_is_refused(tmp_path):
    index = shards(tmp_path, {"a": "1", "b": "2", "c": "1"})
    data = json.loads(index.read_text())

    def refused(homes, error, message):
        index.write_text(json.dumps({"weight_map": homes}))
        with pytest.raises(error, match=message):
            open_source(index)

    refused(data["weight_map"] | {"d": "2"}, ValueError, "puts d in 2, which does not have it")
    refused({"a": "1", "b": "2"}, ValueError, "does not know of c, which is in 1")
    refused({"a": "1", "b": "3", "c": "1"}, FileNotFoundError, "no file at .*3")
    for home in ("../1", "/etc/passwd", "sub/1", "..\\1"):
        refused({"a": home}, ValueError, "wanted a file beside it")
    refused([1], ValueError, "is no index of shards")
    refused({"a": 1}, ValueError, "is no index of shards")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"", "not a whole safetensors file"),
        (b"garbage of some length", "not a whole safetensors file"),
    ],
)
def test_strays_are_named(tmp_path, content, message):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path / "x.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file at .*gone"):
        open_source(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path)
