"""`latentgeo edit-semantic`, from the command line to the files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.infer.sampling.typical import FILE, Typical, write_typical
from latentgeo.infer.semantic.intervals import Intervals, write_intervals
from latentgeo.models.bundles.delta_h import GlobalDirection, new_direction
from latentgeo.models.bundles.image_model import save_image_model
from latentgeo.models.formats.delta_file import Purpose, write_direction
from tests.models.bundles.test_image_model import CONFIGS, made


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder with a model, an f_t in both kinds of file, another network's, and two images."""
    folder = tmp_path_factory.mktemp("semantic")
    model = made(CONFIGS["ddpm"])
    save_image_model(model, folder / "ddpm")
    torch.manual_seed(0)
    direction = new_direction(model)
    for weight in direction.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    about = Purpose(name="smile", source="a", target="b", similarity=0.9, S=7, t_edit=500)
    write_direction(folder / "smile.safetensors", direction, about)
    write_direction(folder / "bare.pth", direction)
    write_direction(folder / "wide.safetensors", GlobalDirection(torch.zeros(3, 1, 1)), about)
    save_image_model(made(CONFIGS["ldm"]), folder / "ldm")
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (15, 13, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def run(folder, out, *words: object) -> int:
    start = ["edit-semantic", "--model", str(folder / "ddpm"), "--out", str(out)]
    return main([*start, "--device", "cpu", "--steps", "4", *map(str, words)])


def tiles(path, count):
    with Image.open(path) as picture:
        return np.split(np.array(picture), count, axis=1)


def test_a_model_has_directions_of_its_own(places, tmp_path, capsys):
    """By name, from the folder beside the weights; an unknown name is told what there is."""
    own = places / "ddpm" / "directions"
    own.mkdir()
    own.joinpath("grin.safetensors").write_bytes((places / "smile.safetensors").read_bytes())
    assert run(places, tmp_path, "--seeds", "1", "--direction", "grin=wide") == 0
    assert (tmp_path / "0000-wide.png").is_file()
    assert run(places, tmp_path, "--seeds", "1", "--direction", "frown") != 0
    assert (
        "no direction at frown; wanted a file of train-asyrp, or one of the model's own: grin"
        in capsys.readouterr().err
    )


def test_strips_of_images_and_their_grid(places, tmp_path, capsys):
    """A scale of 0 is the way back, others are not; the second call inverts nothing anew."""
    words = ("--images", places / "0.png", places / "1.png")
    words += ("--direction", places / "smile.safetensors", "--strip", "-1", "0", "1", "3")
    assert run(places, tmp_path, *words) == 0
    assert capsys.readouterr().out.split()[-1] == str(tmp_path / "grid.png")
    row = tiles(tmp_path / "0001-smile.png", 5)
    assert not np.array_equal(row[2], row[4]) and not np.array_equal(row[1], row[3])
    about = read_metadata(tmp_path / "grid.png")
    assert about["t_edit"] == {"smile": 500} and about["of"] == ["0", "1"]
    cached = {path: path.stat().st_mtime_ns for path in (tmp_path / "inversions").iterdir()}
    assert run(places, tmp_path, *words, "--batch", "3") == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "inversions").iterdir()} == cached
    again = tiles(tmp_path / "0001-smile.png", 5)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(row, again, strict=True)) <= 1


def test_how_typical_an_image_is_is_said_before_it_is_edited(places, tmp_path, capsys):
    """What the model's folder does not say is not known; below its bound the user is warned."""
    words = ("--images", places / "0.png", "--direction", places / "smile.safetensors")
    assert run(places, tmp_path, *words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("0.png: noised to t = 0.3 T") and "eval-typical" in said.out
    assert read_metadata(tmp_path / "grid.png")["strip"] == [0, 0.5, 1]
    size = made(CONFIGS["ddpm"]).config.sampling.size
    write_typical(places / "ddpm" / FILE, Typical(psnr=(90.0,) * 20, size=size, settings={}))
    with pytest.warns(UserWarning, match=r"^0\.png: noised .* has not learned such images"):
        assert run(places, tmp_path, *words) == 0
    (places / "ddpm" / FILE).unlink()
    assert "noised" not in capsys.readouterr().out


def test_directions_one_by_one_and_together(places, tmp_path):
    """Asyrp Sec. G.1, Asyrp Sec. M, Asyrp Sec. N.2: images of seeds, with intervals as given."""
    smile, bare = places / "smile.safetensors", f"{places / 'bare.pth'}=other"
    words = ("--seeds", "3", "5", "--direction", smile, bare, "--t-edit", "400", "--t-boost", "100")
    assert run(places, tmp_path / "a", *words, "--scale", "1", "-2") == 0
    assert len(list((tmp_path / "a").glob("*-other.png"))) == 2
    assert run(places, tmp_path / "b", *words, "--combine", "--shift", "global") == 0
    assert (tmp_path / "b" / "0001-smile+other.png").is_file()
    assert run(places, tmp_path / "c", *words, "--shift", "mean", "--averaged", "2") == 0
    assert read_metadata(tmp_path / "c" / "grid.png")["t_boost"] == 100
    run_file = tmp_path / "a" / "run.toml"
    out = ["--out", str(tmp_path / "d")]
    assert main(["edit-semantic", "--config", str(run_file), *out]) == 0
    for path in (tmp_path / "a").glob("*.png"):
        assert (tmp_path / "d" / path.name).read_bytes() == path.read_bytes()


def test_intervals_come_from_a_file(places, tmp_path):
    """Asyrp Sec. 4.1: 0.33 · 0.9 lies between the second and the third distance, which reaches it;
    the shortest interval that is strong enough ends at the second.
    """
    found = Intervals(
        times=(1, 300, 600),
        strength=(0.0, 0.2, 0.5),
        deficiency=(0.0, 1.3, 1.4),
        boost=1.2,
        settings={},
    )
    path = write_intervals(tmp_path / "i.json", found)
    words = ("--seeds", "3", "--direction", places / "smile.safetensors", "--intervals", path)
    assert run(places, tmp_path, *words) == 0
    about = read_metadata(tmp_path / "grid.png")
    assert (about["t_edit"], about["t_boost"]) == ({"smile": 600}, 300)
    write_intervals(path, replace(found, rule="shortest"))
    assert run(places, tmp_path, *words, "--overlap", "released") == 0
    about = read_metadata(tmp_path / "grid.png")
    assert (about["t_edit"], about["overlap"]) == ({"smile": 300}, "released")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--seeds", "1", "--direction", "bare.pth"), "t-edit"),
        (("--seeds", "1", "--direction", "wide.safetensors"), "wide.safetensors"),
        (("--seeds", "1", "--direction", "none.pth"), "none.pth"),
        (("--direction", "smile.safetensors"), "--images and --seeds: got neither"),
        (("--seeds", "1", "--direction", "smile.safetensors", "bare.pth=smile", "--t-edit", "9"),
         "wanted one for each: give FILE=NAME"),
        (("--seeds", "1", "--direction", "bare.pth", "--scale", "1", "2"), "scale"),
        (("--seeds", "1", "--direction", "bare.pth", "--steps", "1"), "steps"),
    ],
)  # fmt: skip
def test_what_it_refuses(places, tmp_path, capsys, words, named, monkeypatch):
    monkeypatch.chdir(places)
    assert run(places, tmp_path, *words) == 2
    assert named in capsys.readouterr().err


def test_images_that_are_not_there_leave_no_folder(places, tmp_path, capsys):
    words = ("--images", tmp_path / "none.png", "--direction", places / "smile.safetensors")
    assert run(places, tmp_path / "out", *words) == 2
    assert "none.png: no such image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
