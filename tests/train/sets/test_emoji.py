"""The emoji command: both sources give one layout, which the folder source reads."""

import io
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.train.data.stream import open_source
from latentgeo.train.sets.emoji import EmojiFolder, caption, emoji_folder

ROWS = [  # in the order of the package's file, which is not Unicode's
    ("EARTH GLOBE ASIA-AUSTRALIA", "1F30F", "Travel & Places", "place-map", 2),
    ("GRINNING FACE", "1F600", "Smileys & Emotion", "face-smiling", 1),
    ("WAVING HAND SIGN", "1F44B", "People & Body", "hand-fingers-open", 3),
]


def disc(colour):
    """A half-transparent 64 x 64 picture."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (*colour, 255)
    return pixels


def png(colour):
    file = io.BytesIO()
    Image.fromarray(disc(colour)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def package(tmp_path):
    """An unpacked npm package of three emoji, one with skin tones and one not drawn by Google."""
    images = tmp_path / "package/img/google/64"
    images.mkdir(parents=True)
    rows = []
    for name, code, category, group, order in ROWS:
        (images / f"{code.lower()}.png").write_bytes(png((order, 0, 0)))
        rows.append(
            {
                "name": name,
                "unified": code,
                "image": f"{code.lower()}.png",
                "category": category,
                "subcategory": group,
                "sort_order": order,
                "has_img_google": True,
            }
        )
    tone = {"unified": "1F44B-1F3FD", "image": "1f44b-1f3fd.png", "has_img_google": True}
    rows[2]["skin_variations"] = {"1F3FD": tone}
    (images / "1f44b-1f3fd.png").write_bytes(png((4, 0, 0)))
    rows.append(rows[0] | {"name": "NOT DRAWN", "has_img_google": False})
    (tmp_path / "package/emoji.json").write_text(json.dumps(rows))
    return tmp_path / "package"


@pytest.fixture
def arrays(tmp_path):
    """The same emoji as arrays, in Unicode's order."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    rows = sorted(ROWS, key=lambda row: row[-1])
    np.savez(folder / "emoji64_rgba.npz", images=np.stack([disc((r[-1], 0, 0)) for r in rows]))
    meta = [{"name": r[0].lower(), "unified": r[1], "category": r[2], "sub": r[3]} for r in rows]
    (folder / "emoji64_meta.json").write_text(json.dumps(meta))
    return folder


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_both_sources_give_the_same_folder(package, arrays, tmp_path):
    """Package and arrays lead to identical files, in Unicode's order."""
    emoji_folder(EmojiFolder(from_=package, out=tmp_path / "a", size=8))
    emoji_folder(EmojiFolder(from_=arrays, out=tmp_path / "b", size=8))
    assert written(tmp_path / "a") == written(tmp_path / "b")
    lines = (tmp_path / "a/metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == [
        "an emoji of a grinning face",
        "an emoji of an earth globe asia-australia",
        "an emoji of a waving hand sign",
    ]
    assert "Apache License 2.0" in (tmp_path / "a/NOTICE.txt").read_text()


def test_the_folder_is_a_source_and_the_ground_is_white(package, tmp_path):
    """What the command writes is read without a bad item; transparency has become white."""
    emoji_folder(EmojiFolder(from_=package, out=tmp_path / "a", size=64))
    source = open_source(str(tmp_path / "a"), 64, "fail")
    assert len(source) == 3 and source.entries[0].attributes["group"] == "face-smiling"
    image = source.read(0).image
    expected = torch.from_numpy(disc((1, 0, 0))).permute(2, 0, 1)
    expected = torch.where(expected[3:] > 0, expected[:3], 255)
    assert torch.equal(image, expected.to(torch.uint8))


def test_tones_every_and_limit(package, tmp_path):
    """Skin tones follow their base; every and limit thin the list out."""

    def texts(**options):
        out = tmp_path / "-".join(map(str, options.values()))
        assert emoji_folder(EmojiFolder(from_=package, out=out, size=8, **options)) > 0
        return [json.loads(line)["text"] for line in (out / "metadata.jsonl").open()]

    toned = texts(tones=True)
    assert toned[2:] == [
        "an emoji of a waving hand sign",
        "an emoji of a waving hand sign, medium skin tone",
    ]
    assert texts(tones=True, every=2) == toned[::2]
    assert texts(limit=2) == toned[:2]


def test_missing_and_damaged_images_are_counted(package, tmp_path, capsys):
    """The rest is written and the last line says how many were not."""
    (package / "img/google/64/1f600.png").unlink()
    (package / "img/google/64/1f30f.png").write_bytes(b"damaged")
    with pytest.warns(UserWarning) as caught:
        assert emoji_folder(EmojiFolder(from_=package, out=tmp_path / "a", size=8)) == 1
    assert len(caught) == 2
    assert "1 missing file, 1 not a supported image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hourglass", "an hourglass"),
        ("unicorn face", "a unicorn face"),
        ("umbrella", "an umbrella"),
        ("uganda flag", "a uganda flag"),
        ("u.s. virgin islands flag", "a u.s. virgin islands flag"),
        ("åland islands flag", "an åland islands flag"),
        ("two women holding hands", "two women holding hands"),
        ("woman lifting weights", "a woman lifting weights"),
        ("smiling face with open mouth and smiling eyes",) * 2,
        ("grapes", "grapes"),
        ("octopus", "an octopus"),
        ("compass", "a compass"),
        ("family: man, woman, boys", "a family: man, woman, boys"),
    ],
)
def test_captions_have_the_right_article(name, expected):
    """An, a, or none before a plural; what follows `with` does not count."""
    expected = "a " + name if expected == name and " with " in name else expected
    assert caption(name) == f"an emoji of {expected}"


def test_errors_are_one_line_with_status_2(package, tmp_path, capsys):
    """A wrong source, a folder that exists, an unpaired array: said on stderr, nothing written."""
    out = tmp_path / "out"
    assert main(["emoji-folder", "--from", str(tmp_path), "--out", str(out)]) == 2
    assert "neither emoji.json nor emoji64_rgba.npz" in capsys.readouterr().err
    assert not out.exists()
    emoji_folder(EmojiFolder(from_=package, out=out, size=8))
    assert main(["emoji-folder", "--from", str(package), "--out", str(out)]) == 2
    assert "metadata.jsonl exists" in capsys.readouterr().err
    assert main(["emoji-folder", "--from", "x", "--out", "y", "--every", "0"]) == 2
    for text, why in [("{", "emoji.json: "), ("{}", "a list of"), ('[{"name": "x"}]', "unified")]:
        (tmp_path / "emoji.json").write_text(text)
        arguments = ["--from", str(tmp_path), "--out", str(tmp_path / "c")]
        assert main(["emoji-folder", *arguments]) == 2
        assert why in capsys.readouterr().err


def test_the_embedded_sample_is_whole():
    """The emoji that come with the package are read without a bad item and carry their licence."""
    folder = Path(str(files("latentgeo.models").joinpath("zoo/data/emoji-sample")))
    source = open_source(str(folder), 64, "fail")
    examples = [source.read(i) for i in range(len(source))]
    assert len(examples) == 24
    assert all(e.caption.startswith("an emoji of ") and e.image.float().std() > 5 for e in examples)
    assert "Apache License 2.0" in (folder / "NOTICE.txt").read_text()
