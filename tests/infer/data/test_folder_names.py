"""Names of files and of metadata: how they are spelled, encoded, and where they are."""

import json
import unicodedata
import zipfile
from pathlib import Path

import pytest

from latentgeo.infer.data.folder import Folder, Zipped
from tests.infer.data.test_folder import FRAMING, add, captions, png, quiet, write_lines

TRIALS = Path(__file__).parents[3].parent / "shared" / "trials" / "data"


NAMES = ["café.png", "sub\\a.png", "sub/müller/b.png"]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_lines", ["NFC", "NFD"])
@pytest.mark.parametrize("zipped", [False, True])
def test_names_are_the_same_however_they_are_spelled(tmp_path, on_disk, in_lines, zipped):
    """Accents composed or not, backslashes for slashes; the caption is that of its own picture."""
    rows = [
        {"file_name": unicodedata.normalize(in_lines, name), "text": f"{i}"}
        for i, name in enumerate(NAMES)
    ]
    lines = "\n".join(map(json.dumps, rows))
    names = [unicodedata.normalize(on_disk, name.replace("\\", "/")) for name in NAMES]
    if zipped:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("metadata.jsonl", lines)
            for i, name in enumerate(names):
                archive.writestr(name, png(i))
        source = Zipped(tmp_path / "a.zip", FRAMING, "fail")
    else:
        for i, name in enumerate(names):
            add(tmp_path, name, value=i)
        (tmp_path / "metadata.jsonl").write_text(lines)
        source = Folder(tmp_path, FRAMING, "fail")
    read = [source.read(i) for i in range(len(source))]
    assert [(one.caption, one.name) for one in read] == list(zip("012", names, strict=True))
    assert len({one.image.float().mean().item() for one in read}) == 3


def test_a_name_as_it_is_goes_before_one_that_is_like_it(tmp_path):
    """Where a file system lets both be, they are files of their own."""
    names = ["e\u0301.png", "\u00e9.png", "a\\b.png", "a/b.png"]
    for i, name in enumerate(names):
        add(tmp_path, name, value=i)
    if len(list(tmp_path.rglob("*.png"))) < 4:
        pytest.skip("this file system takes them for one")
    write_lines(tmp_path, *({"file_name": name, "text": name} for name in names))
    source = Folder(tmp_path, FRAMING, "fail")
    assert [source.read(i).name for i in range(4)] == names


def test_captions_may_have_capital_suffixes_and_other_accents(tmp_path):
    add(tmp_path, "e\u0301.PNG")
    (tmp_path / "\u00e9.TXT").write_text("one")
    add(tmp_path, "deep/22.05.png")
    (tmp_path / "deep" / "22.05.Txt").write_bytes("two".encode("utf-16"))
    assert captions(Folder(tmp_path, FRAMING, "fail")) == ["one", "two"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_metadata_is_decoded_by_its_mark(tmp_path, encoding):
    rows = [{"file_name": f"{i}.png", "text": f"λ {i}"} for i in range(3)]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    for i in range(3):
        add(tmp_path, f"{i}.png")
    (tmp_path / "metadata.jsonl").write_bytes(text.encode(encoding))
    assert captions(Folder(tmp_path, FRAMING, "fail")) == ["λ 0", "λ 1", "λ 2"]
    (tmp_path / "metadata.jsonl").write_bytes(text.encode("utf-16-le"))
    with pytest.raises(
        ValueError, match=r"metadata\.jsonl: not UTF-8 text: zero bytes, as of UTF-16"
    ):
        Folder(tmp_path, FRAMING)


def test_metadata_that_is_elsewhere_is_told(tmp_path):
    """In the error, in a refused item, and in a warning where images are read without captions."""
    add(tmp_path, "train/0.png")
    write_lines(tmp_path / "train", {"file_name": "0.png", "text": "a"})
    where = r"metadata\.jsonl is in its folder train/; give that folder"
    for options in ({}, {"on_bad": "fail"}):
        with pytest.raises(ValueError, match=where):
            quiet(tmp_path, **options)
    with pytest.warns(UserWarning, match=where):
        assert len(Folder(tmp_path, FRAMING, allow_uncaptioned=True)) == 1
    add(tmp_path, "test/metadata.jsonl", data=b"")
    with pytest.raises(ValueError, match=r"in its folder test/ and in 1 more; give one of them"):
        quiet(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train/metadata.jsonl", "")
    with pytest.raises(ValueError, match=where):
        Zipped(tmp_path / "a.zip", FRAMING)


@pytest.mark.skipif(not TRIALS.is_dir(), reason="the inputs that failed are not here")
def test_the_folders_that_failed():
    assert captions(Folder(TRIALS / "nfd", FRAMING, "fail")) == ["café", "müller", "naïve"]
    assert len(Folder(TRIALS / "utf16", FRAMING, "fail")) == 3
    with pytest.raises(ValueError, match=r"metadata\.jsonl is in its folder train/; give that"):
        quiet(TRIALS / "above")
