"""`latentgeo invert` and `reconstruct`: files that are found again, gone on with, and refused."""

import json

import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.inversion import run as invert
from latentgeo.infer.inversion.run import read_inversion, write_inversion
from latentgeo.infer.pictures.images import read_metadata


@pytest.fixture
def photos(tmp_path):
    """Two images that differ, of a size the tiny model takes."""
    paths = []
    for i, colour in enumerate([(200, 40, 40), (30, 160, 220)]):
        paths.append(tmp_path / f"photo{i}.png")
        Image.new("RGB", (32, 32), colour).save(paths[-1])
    return paths


def call(tiny, out, *words):
    return main(
        ["invert", "--model", str(tiny.model), "--out", str(out), "--device", "cpu", *words]
    )


def words(photos, *more):
    return ["--image", str(photos[0]), "--prompt", "a person", *more]


def test_an_inversion_is_a_file_and_makes_the_image_again(tiny, photos, tmp_path, capsys):
    out = tmp_path / "out"
    pair = ["--image-b", str(photos[1]), "--prompt-b", "a sad person", "--inner", "2"]
    assert call(tiny, out, *words(photos, *pair)) == 0
    (path,) = out.glob("*.safetensors")
    assert capsys.readouterr().out.split() == [str(path)]
    found = read_inversion(path)
    assert found.finished and found.prompts == ("a person", "a sad person")
    assert found.noise.shape[0] == 2 and found.nulls.shape[:2] == (2, 1)  # steps, one for both
    assert (out / "run.toml").is_file()
    again = ["reconstruct", "--inversion", str(path), "--out", str(out), "--device", "cpu"]
    assert main(again) == 0
    assert sorted(file.name for file in out.glob("*.png")) == ["photo0.png", "photo1.png"]
    assert read_metadata(out / "photo0.png")["images"] == found.settings["images"]


def test_ddim_has_no_null_texts_and_no_guidance_by_default(tiny, photos, tmp_path):
    assert call(tiny, tmp_path, *words(photos, "--method", "ddim")) == 0
    (path,) = tmp_path.glob("*.safetensors")
    found = read_inversion(path)
    assert found.nulls is None and found.finished
    assert (found.how.guidance, found.how.guidance_up) == (1.0, 1.0)


def test_equal_requests_are_found_and_others_are_not(tiny, photos, tmp_path, monkeypatch):
    assert call(tiny, tmp_path, *words(photos)) == 0

    def never(*args, **kwargs):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(invert, "ascend", never)
        assert call(tiny, tmp_path, *words(photos)) == 0
    changed = [
        ["--steps", "3"],
        ["--guidance", "5"],
        ["--inner", "3"],
        ["--inversion-times", "printed"],
        ["--guidance-up", "2"],
    ]
    for more in changed:
        assert call(tiny, tmp_path, *words(photos, *more)) == 0
    assert call(tiny, tmp_path, "--image", str(photos[0]), "--prompt", "other") == 0
    Image.new("RGB", (32, 32), (1, 2, 3)).save(photos[0])
    assert call(tiny, tmp_path, *words(photos)) == 0
    assert len(list(tmp_path.glob("*.safetensors"))) == len(changed) + 3


def test_stopped_after_a_step_it_goes_on_to_the_same_end(tiny, photos, tmp_path, monkeypatch):
    more = words(photos, "--steps", "3", "--inner", "2")
    assert call(tiny, tmp_path / "whole", *more) == 0
    written = []

    def interrupted(path, found):
        write_inversion(path, found)
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(invert, "write_inversion", interrupted)
        assert call(tiny, tmp_path / "parts", *more) == 130
    (path,) = (tmp_path / "parts").glob("*.safetensors")
    assert not read_inversion(path).finished
    assert main(["reconstruct", "--inversion", str(path), "--out", str(tmp_path)]) == 2
    assert call(tiny, tmp_path / "parts", *more) == 0
    (whole,) = (tmp_path / "whole").glob("*.safetensors")
    assert whole.name == path.name
    assert torch.equal(read_inversion(path).nulls, read_inversion(whole).nulls)


def test_reconstruct_refuses_other_weights_and_other_files(tiny, photos, tmp_path, capsys):
    assert call(tiny, tmp_path, *words(photos, "--method", "ddim")) == 0
    (path,) = tmp_path.glob("*.safetensors")
    start = ["reconstruct", "--out", str(tmp_path / "out"), "--device", "cpu", "--inversion"]
    assert main([*start, str(path), "--model", tiny.smooth]) == 2
    assert "was made with weights" in capsys.readouterr().err
    other = tiny.model / "vae.safetensors"
    assert main([*start, str(other)]) == 2
    assert "not a file that latentgeo invert wrote" in capsys.readouterr().err
    assert main([*start, str(tmp_path / "absent")]) == 2
    assert "no such file, wanted one that latentgeo invert wrote" in capsys.readouterr().err


def test_two_images_of_one_name_do_not_meet(tiny, photos, tmp_path):
    (tmp_path / "b").mkdir()
    other = photos[1].rename(tmp_path / "b" / photos[0].name)
    more = words(photos, "--image-b", str(other), "--method", "ddim")
    assert call(tiny, tmp_path, *more) == 0
    (path,) = tmp_path.glob("*.safetensors")
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["reconstruct", "--inversion", str(path), *out]) == 0
    names = sorted(file.name for file in (tmp_path / "out").glob("*.png"))
    assert names == ["0-photo0.png", "1-photo0.png"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--image", "nowhere.png", "--prompt", "a"], "nowhere.png: no such image"),
        (["--size", "20"], "size must be a positive multiple"),
        (["--guidance", "1"], "--guidance: got 1, which leaves the null text out"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--prompt-b", "x"], "--prompt-b: got one without --image-b"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, photos, tmp_path, capsys, more, message):
    assert call(tiny, tmp_path / "out", *words(photos), *more) == 2
    err = capsys.readouterr().err.strip()
    assert message in err and "\n" not in err


def test_a_prompt_that_is_cut_warns(tiny, photos, tmp_path):
    start = ["--image", str(photos[0]), "--prompt", "a person " * 60, "--method", "ddim"]
    with pytest.warns(UserWarning, match="longer than 77 tokens"):
        assert call(tiny, tmp_path, *start) == 0


def test_settings_are_in_the_file(tiny, photos, tmp_path):
    assert call(tiny, tmp_path, *words(photos)) == 0
    (path,) = tmp_path.glob("*.safetensors")
    settings = json.loads(json.dumps(dict(read_inversion(path).settings)))
    assert settings["method"] == "null-text" and settings["names"] == ["photo0"]
    assert {"weights", "version", "steps", "guidance", "images"} <= settings.keys()
