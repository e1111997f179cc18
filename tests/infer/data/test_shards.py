"""Tar shards: which members make samples, what is refused, and the order that ranks share."""

import io
import json
import tarfile
import warnings
from pathlib import Path

import pytest
from PIL import Image

from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.items import CAPTION_BYTES, BadItem
from latentgeo.infer.data.shards import Shards, expand, shard_paths
from latentgeo.train.data.prefetch import Prefetch
from latentgeo.train.data.stream import Batches

FRAMING = Framing(size=8)


def png(value=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def write_tar(path, members):
    """Write a tar file of (name, bytes) pairs; a TarInfo stands for itself."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = name
            if not isinstance(name, tarfile.TarInfo):
                info = tarfile.TarInfo(name)
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sample(i):
    return [(f"{i:03d}.png", png(i)), (f"{i:03d}.txt", f"caption {i}".encode())]


def shards_of(tmp_path, *sizes):
    """Write shards of these numbers of samples; their pixel values count up from 0."""
    paths, first = [], 0
    for k, size in enumerate(sizes):
        members = [m for i in range(first, first + size) for m in sample(i)]
        paths.append(write_tar(tmp_path / f"s-{k:03d}.tar", members))
        first += size
    return paths


def quiet(paths, **options):
    with warnings.catch_warnings(action="ignore"):
        return Shards(paths, FRAMING, **options)


def values(source):
    with warnings.catch_warnings(action="ignore"):
        return [int(example.image[0, 0, 0]) for example in source]


def test_members_with_one_name_are_a_sample(tmp_path):
    """A .txt goes before .json, whose keys are text and caption; other suffixes do not matter."""
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("x/0.cls", b"3"),
            ("x/0.txt", b" zero "),
            ("x/1.json", json.dumps({"caption": "one", "width": 8}).encode()),
            ("x/0.json", b'{"text": "not this"}'),
            ("x/0.PNG", png(0)),
            ("x/1.jpg", png(1)),
            ("y/0.json", b'{"text": "other folder"}'),
            ("y/0.webp", png(2)),
            (".hidden", b""),
            ("README", b""),
        ],
    )
    source = Shards([path], FRAMING)
    assert [(e.name, e.caption) for e in source] == [
        ("x/0.png", "zero"),
        ("x/1.jpg", "one"),
        ("y/0.webp", "other folder"),
    ]
    assert values(source) == [0, 1, 2] and not source.bad


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


BAD_MEMBERS = [
    ([("../7.png", png(7)), ("../7.txt", b"x")], "path leaves the archive", 2),
    ([("/etc/7.png", png(7))], "path leaves the archive", 1),
    ([("a/../../7.png", png(7))], "path leaves the archive", 1),
    ([link("7.png", "/etc/hostname"), ("7.txt", b"x")], "link or special file", 1),
    ([link("7.png", "000.png", tarfile.LNKTYPE), ("7.txt", b"x")], "link or special file", 1),
    ([link("7.png", "", tarfile.FIFOTYPE)], "link or special file", 1),
    ([("7.png", png(7))], "no caption", 1),
    ([("7.txt", b"x")], "no image", 1),
    ([("7.png", png(7)), ("7.json", b'{"width": 8}')], "no caption", 1),
    ([("7.png", png(7)), ("7.json", b"{")], "bad JSON", 1),
    ([("7.png", png(7)), ("7.txt", b"")], "empty caption", 1),
    ([("7.png", png(7)), ("7.txt", b"\xe9")], "caption is not UTF-8", 1),
    ([("7.png", png(7)), ("7.txt", b"x" * (CAPTION_BYTES + 1))], "file too large", 1),
    ([("7.png", png(7)[:45]), ("7.txt", b"x")], "damaged image", 1),
    ([("7.png", b""), ("7.txt", b"x")], "empty file", 1),
]


@pytest.mark.parametrize(
    ("members", "reason", "times"), BAD_MEMBERS, ids=[reason for _, reason, _ in BAD_MEMBERS]
)
def test_bad_members_cost_their_sample_only(tmp_path, members, reason, times):
    """The samples around a bad one are read; it is counted, and under fail refused by name."""
    path = write_tar(tmp_path / "a.tar", [*sample(0), *members, *sample(1)])
    source = quiet([path])
    assert values(source) == [0, 1]
    assert values(source) == [0, 1], "and again, without counting twice"
    assert source.bad[reason] == times
    with pytest.raises(ValueError, match=rf"a\.tar.*{reason}"):
        list(Shards([path], FRAMING, on_bad="fail"))


def test_nothing_is_unpacked(tmp_path):
    """Reading a hostile archive writes no file anywhere near it."""
    inner = tmp_path / "in"
    inner.mkdir()
    path = write_tar(inner / "a.tar", [*sample(0), ("../out.png", png(1)), ("../out.txt", b"x")])
    assert values(quiet([path])) == [0]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "in"]


def test_a_name_that_occurs_twice_keeps_the_first(tmp_path):
    """A tar file allows two members of one name; the second is refused."""
    path = write_tar(tmp_path / "a.tar", [*sample(0), ("000.png", png(9))])
    source = quiet([path])
    assert values(source) == [0] and source.bad == {"name occurs twice": 1}


@pytest.mark.parametrize("cut", [100, 600, 512 * 4 + 100, 512 * 5, 512 * 6, 512 * 7])
def test_truncated_shards_give_what_is_whole(tmp_path, cut):
    """Cut anywhere, nothing is lost but the samples behind the cut, and the cut is reported.

    A sample is four blocks here: header, image, header, caption.
    """
    path = write_tar(tmp_path / "a.tar", [*sample(0), *sample(1)])
    path.write_bytes(path.read_bytes()[:cut])
    whole = write_tar(tmp_path / "b.tar", sample(2))
    source = quiet([path, whole])
    assert values(source) == [0] * (cut >= 2048) + [2]
    assert source.bad["truncated shard"] + source.bad["damaged shard"] == 1


def test_damaged_headers_end_a_shard_with_a_warning(tmp_path):
    """Python's tarfile alone would end silently at a header whose checksum is wrong."""
    path = write_tar(tmp_path / "a.tar", [*sample(0), *sample(1)])
    data = bytearray(path.read_bytes())
    data[2048 + 3] ^= 1  # in the name of the third header
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"a\.tar: damaged shard \(no header at byte 2048\)"):
        source = Shards([path], FRAMING)
    assert values(source) == [0]
    with pytest.raises(ValueError, match="damaged shard"):
        Shards([path], FRAMING, on_bad="fail")


def test_files_that_are_no_tar(tmp_path):
    """Text, an empty file and a gzip are skipped beside a good shard and an error alone."""
    good = write_tar(tmp_path / "z.tar", sample(3))
    for name, data in [("a", b"text" * 300), ("b", b""), ("c", b"\x1f\x8b\x08" + b"\0" * 600)]:
        bad = tmp_path / f"{name}.tar"
        bad.write_bytes(data)
        source = quiet([bad, good])
        assert values(source) == [3] and source.bad.total() == 1
        with warnings.catch_warnings(), pytest.raises(ValueError, match=f"{bad}: no image"):
            warnings.simplefilter("ignore")
            Shards([bad], FRAMING)


def test_a_shard_that_shrinks_while_it_is_used(tmp_path):
    """A span that is gone is a bad item."""
    (path,) = shards_of(tmp_path, 2)
    source = Shards([path], FRAMING)
    path.write_bytes(path.read_bytes()[:2048])
    assert int(source.read(0, 0).image[0, 0, 0]) == 0
    with pytest.raises(BadItem, match="truncated shard"):
        source.read(0, 1)
    path.unlink()
    with pytest.raises(BadItem, match="unreadable file"):
        source.read(0, 0)


@pytest.mark.parametrize("on_bad", ["skip", "fail"])
def test_a_shard_that_disappears_while_it_is_used(tmp_path, on_bad):
    """Its samples are passed over with one warning, or a line that names it ends the run."""
    source = quiet(shards_of(tmp_path, 5, 4, 6), on_bad=on_bad)
    batches = Prefetch(Batches(source, 3, seed=2), depth=1)
    next(batches)
    source.paths[1].unlink()
    if on_bad == "fail":
        with pytest.raises(BadItem, match=r"s-001\.tar.*No such file"):
            [next(batches) for _ in range(9)]
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = [image for _ in range(9) for image in next(batches)[0]]
    assert len(images) == 27 and len(caught) == 1 and "s-001.tar" in str(caught[0].message)
    with pytest.warns(UserWarning, match=r"skipped \d item"):
        batches.close()


def test_uncaptioned_samples_can_be_allowed(tmp_path):
    """Then their caption is empty."""
    path = write_tar(tmp_path / "a.tar", [("0.png", png()), ("1.png", png()), ("1.json", b"{}")])
    source = Shards([path], FRAMING, allow_uncaptioned=True)
    assert [e.caption for e in source] == ["", ""]


def test_patterns_expand_with_their_zeros():
    """Bounds are inclusive; two ranges multiply; an empty range is refused."""
    assert expand("a-{008..011}.tar") == [f"a-{n}.tar" for n in ("008", "009", "010", "011")]
    assert expand("{0..1}/{2..3}") == ["0/2", "0/3", "1/2", "1/3"]
    with pytest.raises(ValueError, match="empty or too long"):
        expand("{3..1}.tar")


def test_shards_are_named_by_file_pattern_or_folder(tmp_path):
    """Anything else is no shard; a folder with both shards and images is refused."""
    paths = shards_of(tmp_path, 1, 1, 1)
    assert shard_paths(str(tmp_path)) == paths
    assert shard_paths(f"{tmp_path}/s-{{000..002}}.tar") == paths
    assert shard_paths(str(paths[1])) == [paths[1]]
    assert shard_paths(str(tmp_path / "images")) == []
    with pytest.raises(ValueError, match="compressed"):
        shard_paths("a/{0..1}.tar.gz")
    with pytest.raises(FileNotFoundError, match=r"s-003\.tar: no such shard \(1 "):
        Shards(shard_paths(f"{tmp_path}/s-{{000..003}}.tar"), FRAMING)
    (tmp_path / "0.png").write_bytes(png())
    with pytest.raises(ValueError, match=r"both shards \(s-000.tar\) and images \(0.png\)"):
        shard_paths(str(tmp_path))


def test_names_with_more_dots_are_matched_by_the_last(tmp_path):
    """Where the first dot leaves no image; with one, other members are its fields as ever."""
    members = [
        ("22.05.png", png(0)),
        ("22.06.txt", b"six"),
        ("22.05.txt", b"five"),
        ("22.06.png", png(1)),
        ("v1.2.final.jpg", png(2)),
        ("v1.2.final.json", b'{"text": "final"}'),
        ("0.png", png(3)),
        ("0.mask.png", png(4)),
        ("0.mask.txt", b"no sample"),
        ("0.txt", b"zero"),
        ("e\u0301.png", png(5)),
        ("\u00e9.txt", b"accent"),
    ]
    source = Shards([write_tar(tmp_path / "a.tar", members)], FRAMING, "fail")
    assert [(one.name, one.caption) for one in source] == [
        ("22.05.png", "five"),
        ("22.06.png", "six"),
        ("v1.2.final.jpg", "final"),
        ("0.png", "zero"),
        ("\u00e9.png", "accent"),
    ]
    assert values(source) == [0, 1, 2, 3, 5]


def test_a_name_cut_at_its_first_dot_is_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("22.05.png", png(0)), ("22.txt", b"x"), *sample(1)])
    with pytest.raises(ValueError, match=r"no image \(22\.05\.png is cut at its first dot; rename"):
        list(Shards([path], FRAMING, "fail"))


TRIAL = Path(__file__).parents[3].parent / "shared" / "trials" / "data" / "dots.tar"


@pytest.mark.skipif(not TRIAL.is_file(), reason="the inputs that failed are not here")
def test_the_shard_that_failed():
    found = [one.name for one in Shards([TRIAL], FRAMING, "fail")]
    assert found == ["22.05.png", "22.06.png", "v1.2.final.png"]
