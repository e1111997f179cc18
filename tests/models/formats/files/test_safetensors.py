"""Safetensors files: the package `safetensors` judges what we write, read and refuse."""

import json
import struct

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from latentgeo.models.formats.files.safetensors import DTYPES, SafeFile, write_safetensors

KINDS = [*DTYPES.values()]


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = {
        f"a.{i % 5}.{i}": torch.rand(2 + i, 3, generator=generator).mul(50).to(kind)
        for i, kind in enumerate(KINDS)
    }
    return found | {"scalar": torch.tensor(0.5), "empty": torch.zeros(0, 3), "é": torch.ones(5)}


def written(tmp_path, header: dict | str, size: int, length: int | None = None):
    """Write a file with this header and `size` bytes behind it."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path = tmp_path / "file.safetensors"
    path.write_bytes(
        struct.pack("<Q", len(text) if length is None else length) + text + bytes(size)
    )
    return path


def row(shape, start, end, dtype="F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_writes_the_bytes_that_the_package_writes(tmp_path):
    path = write_safetensors(tmp_path / "a" / "file.safetensors", tensors(), {"format": "pt"})
    assert path.read_bytes() == save(tensors(), {"format": "pt"})


def test_a_view_and_a_transpose_are_written_as_they_look(tmp_path):
    whole = torch.arange(35.0).reshape(5, 7)
    path = write_safetensors(tmp_path / "file", {"t": whole.T, "v": whole[1:3, ::2]})
    found = load_file(path)
    assert torch.equal(found["t"], whole.T) and torch.equal(found["v"], whole[1:3, ::2])


def test_reads_what_the_package_reads(tmp_path):
    save_file(tensors(), tmp_path / "file", {"a": "b"})
    source = SafeFile(tmp_path / "file")
    assert source.metadata == {"a": "b"}
    for name, tensor in tensors().items():
        entry = source.entries[name]
        assert (entry.dtype, entry.shape) == (tensor.dtype, tuple(tensor.shape))
        assert torch.equal(source.read(name), tensor)
    assert source.entries.keys() == tensors().keys()


def test_every_dtype_is_the_packages(tmp_path):
    for name, dtype in DTYPES.items():
        path = write_safetensors(tmp_path / "file", {"x": torch.zeros(3, dtype=dtype)})
        with safe_open(path, "pt") as file:
            assert file.get_slice("x").get_dtype() == name
            assert file.get_tensor("x").dtype == dtype


def test_an_unaligned_tensor_is_read(tmp_path):
    path = tmp_path / "file"
    text = json.dumps({"x": row([3], 0, 12)}).encode()
    text += b" " * ((5 - len(text)) % 8)  # tensors begin at an odd byte
    path.write_bytes(struct.pack("<Q", len(text)) + text + torch.arange(3.0).numpy().tobytes())
    assert torch.equal(SafeFile(path).read("x"), torch.arange(3.0))


def test_a_tensor_is_a_private_view(tmp_path):
    """What is written to it stays in memory, and a dropped one is read anew."""
    path = write_safetensors(tmp_path / "file", {"x": torch.ones(50_000)})
    source = SafeFile(path)
    view = source.read("x")
    view.zero_()
    assert torch.equal(load_file(path)["x"], torch.ones(50_000))
    assert torch.equal(SafeFile(path).read("x"), torch.ones(50_000))
    copy = SafeFile(path)
    first = copy.read("x").clone()
    copy.drop("x")
    assert torch.equal(copy.read("x"), first)


WRONG = {
    "no header at all": ("", 0, None),
    "header longer than the file": ({}, 4, 1000),
    "header of 2^60 bytes": ({}, 0, 1 << 60),
    "no JSON": ("{not json", 0, None),
    "a list": ("[1, 2]", 0, None),
    "truncated tensors": ({"x": row([3], 0, 12)}, 11, None),
    "bytes behind the last tensor": ({"x": row([3], 0, 12)}, 13, None),
    "a shape that needs more": ({"x": row([4], 0, 12)}, 12, None),
    "a shape that overflows": ({"x": row([1 << 40, 1 << 40], 0, 12)}, 12, None),
    "a negative side": ({"x": row([-3], 0, 12)}, 12, None),
    "offsets backwards": ({"x": row([3], 12, 0)}, 12, None),
    "a gap": ({"x": row([1], 0, 4), "y": row([1], 8, 12)}, 12, None),
    "an overlap": ({"x": row([2], 0, 8), "y": row([2], 4, 12)}, 12, None),
    "an unknown dtype": ({"x": row([3], 0, 12, "F33")}, 12, None),
    "no shape": ({"x": {"dtype": "F32", "data_offsets": [0, 4]}}, 4, None),
    "three offsets": ({"x": {**row([1], 0, 4), "data_offsets": [0, 2, 4]}}, 4, None),
    "a row that is a number": ({"x": 3}, 0, None),
    "metadata that are numbers": ({"__metadata__": {"a": 1}, "x": row([1], 0, 4)}, 4, None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_package_refuses_is_refused(case, tmp_path):
    """In one line with the file's name."""
    header, size, length = WRONG[case]
    path = written(tmp_path, header, size, length)
    with pytest.raises((SafetensorError, ValueError)), safe_open(path, "pt") as file:
        [file.get_tensor(name) for name in file.keys()]
    with pytest.raises(ValueError, match=r"file\.safetensors is not a whole safetensors file: "):
        SafeFile(path)


def test_a_name_that_stands_twice_is_refused(tmp_path):
    one = json.dumps(row([1], 0, 4))
    path = written(tmp_path, f'{{"x": {one}, "x": {one}}}', 4)
    with pytest.raises(ValueError, match="'x' stands there twice"):
        SafeFile(path)


def test_errors_say_how_much_is_missing(tmp_path):
    path = write_safetensors(tmp_path / "file", {"x": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(
        ValueError, match="truncated: its tensors take 400 bytes, and 340 are there"
    ):
        SafeFile(path)


def test_damaged_headers_are_judged_as_by_the_package(tmp_path):
    """300 files with one byte of the header changed: refused by both, or read alike by both."""
    good = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4, dtype=torch.int64)})
    length = 8 + struct.unpack("<Q", good[:8])[0]
    generator = torch.Generator().manual_seed(0)
    path, refused = tmp_path / "file", 0
    for _ in range(300):
        at = int(torch.randint(length, (), generator=generator))
        byte = int(torch.randint(32, 127, (), generator=generator))
        path.write_bytes(good[:at] + bytes([byte]) + good[at + 1 :])
        try:
            wanted = load_file(path)
        except (SafetensorError, ValueError):
            with pytest.raises(ValueError):
                SafeFile(path)
            refused += 1
        else:
            ours = SafeFile(path)
            assert ours.entries.keys() == wanted.keys()
            assert all(ours.read(name).equal(wanted[name]) for name in wanted)
    assert 100 < refused < 300
