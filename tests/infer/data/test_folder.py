"""Folders and zip files: where captions come from, and what is wrong with an index or a file."""

import io
import json
import os
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.data.folder import Folder, Zipped
from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.items import CAPTION_BYTES, BadItem

FRAMING = Framing(size=8)


def png(value=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A folder with one good image, 0.png, beside its caption."""
    add(tmp_path, "0.png", "good")
    return tmp_path


def add(folder, name, caption=None, data=None, value=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(value) if data is None else data)
    if caption is not None:
        text = caption if isinstance(caption, bytes) else caption.encode()
        path.with_suffix(".txt").write_bytes(text)


def write_lines(folder, *lines):
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / "metadata.jsonl").write_bytes(b"\n".join(texts))


def quiet(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Folder(folder, FRAMING, **options)


def captions(source):
    return sorted(source.read(i).caption for i in range(len(source)))


def test_captions_beside_images_at_any_depth(folder):
    """Names are relative with forward slashes and sorted; suffixes may be capitals."""
    add(folder, "deep/er/b.PNG", "  a\r\n second\tone ", value=7)
    add(folder, "a.webp", "\ufeffwith a byte order mark", value=9)
    source = Folder(folder, FRAMING)
    examples = [source.read(i) for i in range(len(source))]
    assert [(e.name, e.caption) for e in examples] == [
        ("0.png", "good"),
        ("a.webp", "with a byte order mark"),
        ("deep/er/b.PNG", "a second one"),
    ]
    assert [int(e.image[0, 0, 0]) for e in examples] == [0, 9, 7]


def test_metadata_lines_come_first_and_may_repeat_a_file(folder):
    """An image with two lines is two examples; an unlisted one falls to its caption file."""
    add(folder, "x/1.png", "not used")
    lines = [{"file_name": "x/1.png", "text": t} for t in ("one", "two")]
    lines.append({"file_name": "./x/../x/1.png", "text": "leaves"})
    write_lines(folder, b"\xef\xbb\xbf" + json.dumps(lines[0]).encode() + b"\r", b"", lines[1])
    assert captions(Folder(folder, FRAMING)) == ["good", "one", "two"]


def test_split_selects_lines(folder):
    """A split keeps its lines only; a split that no line has is an empty source."""
    add(folder, "1.png")
    write_lines(
        folder,
        {"file_name": "0.png", "text": "zero", "split": "train"},
        {"file_name": "1.png", "text": "one", "split": "test"},
    )
    assert captions(Folder(folder, FRAMING, split="test")) == ["one"]
    with pytest.raises(ValueError, match="split 'dev'"):
        Folder(folder, FRAMING, split="dev")


BAD_LINES = [
    (b"{not json", "bad JSON"),
    (b"[1, 2]", "bad JSON"),
    (b"[" * 100_000, "bad JSON"),
    (b'{"file_name": "1.png", "text": "\xff\xfe"}', "bad JSON"),
    (b'{"file_name": "1.png", "text": "\\ud800"}', "caption is not UTF-8"),
    ({"text": "no name"}, "no file_name"),
    ({"file_name": 3, "text": "x"}, "no file_name"),
    ({"file_name": "../0.png", "text": "x"}, "path leaves the folder"),
    ({"file_name": "a/../../0.png", "text": "x"}, "path leaves the folder"),
    ({"file_name": "/etc/hostname", "text": "x"}, "path leaves the folder"),
    ({"file_name": "C:\\x.png", "text": "x"}, "path leaves the folder"),
    ({"file_name": "a\\..\\..\\0.png", "text": "x"}, "path leaves the folder"),
    ({"file_name": "0.png\0", "text": "x"}, "path leaves the folder"),
    ({"file_name": "gone.png", "text": "x"}, "missing file"),
    ({"file_name": "n" * 400 + ".png", "text": "x"}, "missing file"),
    (b'{"file_name": "\\ud800.png", "text": "x"}', "missing file"),
    ({"file_name": "0.png"}, "no caption"),
    ({"file_name": "0.png", "text": "  "}, "empty caption"),
    ({"file_name": "0.png", "text": ["x"]}, "caption is not text"),
    ({"file_name": "0.png", "text": "x" * (CAPTION_BYTES + 1)}, "caption too long"),
    ({"file_name": "0.png", "text": "x", "attributes": [1]}, "attributes are not an object"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason for _, reason in BAD_LINES])
def test_bad_lines_are_counted_or_refused(tmp_path, line, reason):
    """A bad line costs its example only; under fail the error names the file and the reason."""
    add(tmp_path, "ok.png")
    add(tmp_path, "0.png", "file of the line")
    write_lines(tmp_path, {"file_name": "ok.png", "text": "ok"}, line)
    with pytest.warns(UserWarning, match=f"{reason}.*only counted"):
        source = Folder(tmp_path, FRAMING)
    assert source.bad == {reason: 1}
    assert "ok" in captions(source)
    with pytest.raises(ValueError, match=f"{tmp_path}.*{reason}"):
        Folder(tmp_path, FRAMING, on_bad="fail")


def test_metadata_does_not_reach_out_through_links(tmp_path):
    """A file behind a link to another folder is not in this folder."""
    add(tmp_path / "secret", "s.png")
    add(tmp_path / "set", "0.png", "good")
    (tmp_path / "set/link").symlink_to(tmp_path / "secret")
    write_lines(tmp_path / "set", {"file_name": "link/s.png", "text": "x"})
    assert quiet(tmp_path / "set").bad == {"missing file": 1}


def bad_file(folder, name):
    """Put a bad item called `name` into the folder."""
    match name:
        case "truncated":
            add(folder, "1.png", "x", png()[:45])
        case "text":
            add(folder, "1.png", "x", b"hello")
        case "empty":
            add(folder, "1.png", "x", b"")
        case "caption":
            add(folder, "1.png", " \n")
        case "latin":
            add(folder, "1.png", "café".encode("latin-1"))
        case "long":
            add(folder, "1.png", b"x" * (CAPTION_BYTES + 1))
        case "pipe":
            os.mkfifo(folder / "1.png")
            (folder / "1.txt").write_text("x")
        case "dangling":
            (folder / "1.png").symlink_to(folder / "nowhere")
            (folder / "1.txt").write_text("x")


BAD_FILES = {
    "truncated": "damaged image",
    "text": "not a supported image",
    "empty": "empty file",
    "caption": "empty caption",
    "latin": "caption is not UTF-8",
    "long": "file too large",
    "pipe": "not a file",
    "dangling": "missing file",
}


@pytest.mark.parametrize(("name", "reason"), BAD_FILES.items())
def test_bad_files_are_refused_when_read(folder, name, reason):
    """Reading one raises BadItem with the file's path and a reason; the others are untouched."""
    bad_file(folder, name)
    source = Folder(folder, FRAMING)
    assert source.read(0).caption == "good"
    with pytest.raises(BadItem, match=f"{folder}/1") as caught:
        source.read(1)
    assert caught.value.reason == reason


def test_uncaptioned_images(folder):
    """Without caption an image is bad, unless it is allowed to have none."""
    add(folder, "1.png")
    add(folder, "2.png", "")
    assert quiet(folder).bad == {"no caption": 1}
    assert captions(Folder(folder, FRAMING, allow_uncaptioned=True)) == ["", "", "good"]
    with pytest.raises(ValueError, match=r"1\.png: no caption"):
        Folder(folder, FRAMING, on_bad="fail")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_empty_folders_name_themselves(tmp_path):
    """No folder, an empty one, and one with nothing but bad items."""
    with pytest.raises(FileNotFoundError, match="gone: no such folder"):
        Folder(tmp_path / "gone", FRAMING)
    with pytest.raises(
        ValueError, match=f"{tmp_path}: no image with a caption; metadata.jsonl has"
    ):
        Folder(tmp_path, FRAMING)
    add(tmp_path, "1.png")
    with pytest.raises(ValueError, match="skipped 1 item: 1 no caption"):
        Folder(tmp_path, FRAMING)


def test_hidden_files_are_left_alone(folder):
    """What a file manager leaves behind is no example and no bad item."""
    add(folder, "._0.png", data=b"resource fork")
    add(folder, ".trash/1.png")
    source = Folder(folder, FRAMING)
    assert len(source) == 1 and not source.bad


def test_names_of_any_bytes_can_be_reported(folder):
    """A file name that is not UTF-8 appears in a warning that can be printed."""
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as file:
        file.write(png())
    with pytest.warns(UserWarning, match=r"\\udcff\.png: no caption") as caught:
        Folder(folder, FRAMING)
    str(caught[0].message).encode("utf-8")


def zipped(path, rows, files):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.jsonl", "\n".join(json.dumps(row) for row in rows))
        for name, data in files.items():
            file.writestr(name, data)
    return path


def test_zip_reads_captions_attributes_and_split(tmp_path):
    """Captions and attributes are there without decoding; the split chooses lines."""
    rows = [
        {"file_name": f"{i}.png", "text": f"t{i}", "attributes": {"hair": i}, "split": split}
        for i, split in enumerate(["train", "test", "train"])
    ]
    path = zipped(tmp_path / "a.zip", rows, {f"{i}.png": png(i) for i in range(3)})
    source = Zipped(path, FRAMING, split="train")
    assert source.captions == ["t0", "t2"] and source.attributes == [{"hair": "0"}, {"hair": "2"}]
    assert torch.equal(source.read(1).image, torch.full((3, 8, 8), 2, dtype=torch.uint8))
    assert len(Zipped(path, FRAMING)) == 3


def test_zip_with_missing_and_damaged_members(tmp_path):
    """A member that is gone or whose checksum is wrong is a bad item."""
    noise = np.random.default_rng(0).bytes(500)
    rows = [{"file_name": f"{i}.png", "text": "x"} for i in range(2)]
    path = zipped(tmp_path / "a.zip", rows, {"0.png": noise})
    path.write_bytes(path.read_bytes().replace(noise, noise[::-1]))
    source = Zipped(path, FRAMING)
    with pytest.raises(BadItem, match="unreadable file"):
        source.read(0)
    with pytest.raises(BadItem, match="missing file"):
        source.read(1)


def test_zip_files_that_are_none(tmp_path):
    """A missing file, a file that is no zip, a zip without metadata: each names itself."""
    with pytest.raises(FileNotFoundError, match=r"gone\.zip"):
        Zipped(tmp_path / "gone.zip", FRAMING)
    (tmp_path / "b.zip").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"b\.zip: not a zip file with metadata"):
        Zipped(tmp_path / "b.zip", FRAMING)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as file:
        file.writestr("x", "y")
    with pytest.raises(ValueError, match=r"c\.zip: not a zip file with metadata"):
        Zipped(tmp_path / "c.zip", FRAMING)
