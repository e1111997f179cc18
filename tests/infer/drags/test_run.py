"""`latentgeo drag`, whole, on a tiny model and on images of awkward sizes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.drags.defaults import SMALL
from latentgeo.infer.drags.run import FOUND, settings_of, with_points
from latentgeo.infer.drags.settings import Drag
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.models.bundles.text_to_image import load_bundle

QUICK = ["--iterations", "3", "--steps", "3", "--lora-steps", "1", "--device", "cpu"]


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (29, 43, 3), dtype=np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    return path


def words(tiny, image, out, *more):
    return [
        "drag",
        "--model",
        str(tiny.model),
        "--image",
        str(image),
        "--out",
        str(out),
        *QUICK,
        *more,
    ]


def test_files_of_a_drag_have_the_images_size_and_its_points(tiny, image, tmp_path, capsys):
    """Neither square nor a multiple of 8, its point on the last pixel."""
    out = tmp_path / "out"
    (tmp_path / "points.json").write_text('{"points": [[[42, 28], [30, 20]]]}')
    more = ["--point", "5,6:15,6.5", "--points", str(tmp_path / "points.json")]
    assert main(words(tiny, image, out, "--prompt", "a sad person", *more)) == 0
    *told, a, b, c, d = capsys.readouterr().out.splitlines()
    written = [line.rsplit("/", 1)[1] for line in (a, b, c, d)]
    assert written == ["edited.png", "strip.png", "drag.gif", "drag.json"]
    record = json.loads((out / "drag.json").read_text())
    assert f"PSNR of {record['psnr_without_drag']:.1f} dB" in told[0]
    assert told[1].startswith("point 1: 10.0 pixels") and told[2].startswith("point 2: 14.4 pixels")
    assert f"changed by {record['outside']['changed']:.1f} of 255" in told[3] and len(told) == 4
    assert np.shape(record["found"]) == (2, 2) and len(record["distance_found"]) == 2
    assert record["handles"] == [[5, 6], [42, 28]] and record["targets"] == [[15, 6.5], [30, 20]]
    assert record["tracks"][0] == record["handles"] and len(record["tracks"]) == 4
    assert record["updates"] == len(record["losses"]) == 3 and len(record["distance_left"]) == 2
    end = np.array(record["tracks"][-1]) - np.array(record["targets"])
    np.testing.assert_allclose(record["distance_left"], np.linalg.norm(end, axis=1), rtol=1e-5)
    with Image.open(out / "edited.png") as edited, Image.open(out / "drag.gif") as animation:
        assert edited.size == (43, 29)
        assert animation.n_frames >= 3
    assert read_metadata(out / "edited.png")["prompt"] == "a sad person"
    assert 'command = "drag"' in (out / "run.toml").read_text()


def test_points_are_in_the_files_pixels_whatever_size_is_edited(tiny, image, tmp_path):
    out = tmp_path / "out"
    assert main(words(tiny, image, out, "--size", "32", "--point", "0,0:40,20")) == 0
    record = json.loads((out / "drag.json").read_text())
    np.testing.assert_allclose(record["targets"], [[40, 20]], atol=1e-6)
    with Image.open(out / "edited.png") as edited:
        assert edited.size == (43, 29)


def test_what_the_mask_protects_is_the_image_through_the_model(tiny, image, tmp_path):
    levels = np.zeros((29, 43), dtype=np.uint8)
    levels[:, :20] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    pictures = {}
    for name, target in (("a", "9,9"), ("b", "3,20")):
        out = tmp_path / name
        more = ["--mask", str(tmp_path / "mask.png"), "--protect", "--point", f"5,6:{target}"]
        assert main(words(tiny, image, out, *more)) == 0
        with Image.open(out / "edited.png") as edited:
            pictures[name] = np.array(edited)
    assert (pictures["a"][:, 20:] == pictures["b"][:, 20:]).all()
    assert (pictures["a"][:, :20] != pictures["b"][:, :20]).any()


def test_settings_are_the_models_unless_the_command_has_them(tiny, tmp_path):
    bundle = load_bundle(tiny.model)
    plain = Drag(image=tmp_path, out=tmp_path, point=("1,1:2,2",))
    assert settings_of(plain, bundle) == SMALL
    changed = Drag(
        image=tmp_path,
        out=tmp_path,
        point=("1,1:2,2",),
        lr=0.5,
        lora_rank=3,
        lora_layers="attention",
        protect=False,
    )
    how = settings_of(changed, bundle)
    assert (how.lr, how.identity.rank, how.protect) == (0.5, 3, False)
    assert how.identity.layers == "attention" != SMALL.identity.layers
    assert how.iterations == SMALL.iterations and how.identity.steps == SMALL.identity.steps


def test_points_are_drawn_at_the_middle_of_their_pixels():
    black = -torch.ones(3, 40, 50)
    picture = np.array(with_points(black, torch.tensor([[10.0, 20]]), torch.tensor([[30.0, 20]])))
    zoom = picture.shape[0] // 40
    red = np.argwhere((picture[..., 0] > 200) & (picture[..., 2] < 100))
    blue = np.argwhere((picture[..., 2] > 200) & (picture[..., 0] < 100))
    np.testing.assert_allclose(red.mean(0), [20.5 * zoom, 10.5 * zoom], atol=1.5)
    np.testing.assert_allclose(blue.mean(0), [20.5 * zoom, 30.5 * zoom], atol=1.5)


def test_where_a_point_is_found_again_is_drawn_above_all():
    black, place = -torch.ones(3, 40, 50), torch.tensor([[30.0, 20]])
    picture = np.array(with_points(black, place - 9, place, place, (), place))
    zoom = picture.shape[0] // 40
    assert tuple(picture[round(20.5 * zoom), round(30.5 * zoom)]) == FOUND


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "--point and --points: got none"),
        (("--point", "1,2"), "wanted x0,y0:x1,y1"),
        (
            ("--point", "1,2:43,5"),
            "--point: got targets [[43.0, 5.0]], wanted x in 0 to 42 and y in 0 to 28",
        ),
        (("--point", "1,nan:3,4"), "--point: got handles"),
        (("--point", "1,2:3,4", "--point", "5,6:5,6"), "got [5.0, 6.0] as a handle and its target"),
        (("--point", "1,2:3,4", "--mask", "nowhere.png"), "nowhere.png: no such image"),
        (("--points", "nowhere.json"), "--points: no such file: nowhere.json"),
        (("--point", "1,2:3,4", "--stage", "9"), "stage: got 9"),
        (("--point", "1,2:3,4", "--reference-layer", "77"), "--reference-layer: got 77"),
        (("--point", "1,2:3,4", "--strength", "2"), "strength"),
        (("--point", "1,2:3,4", "--size", "0"), "size"),
        (("--point", "1,2:3,4", "--lora-rank", "0"), "rank"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, image, tmp_path, capsys, more, message):
    assert main(words(tiny, image, tmp_path / "out", *more)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "latentgeo drag:" in line]
    assert len(lines) == 1 and message in lines[0]
