"""`latentgeo interpolate`, and the distances that it and ISTD share."""

import json

import pytest
import torch
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.infer.sampling.pipeline import image_noise
from latentgeo.infer.walks import seeds
from latentgeo.infer.walks.walk import adjacent_distances, noise_walk, short_names


def test_distance_is_the_root_of_summed_squares():
    """SmoothS Sec. A.3: images that differ by 0.25 of the range in each of 3·5·7 values."""
    images = torch.zeros(2, 4, 3, 5, 7)
    images[:, 1:] += 0.5  # of [-1, 1]
    images[1, 3] += 1.0
    found = adjacent_distances(images)
    count = 3 * 5 * 7
    expected = torch.tensor(
        [[0.25 * count**0.5, 0, 0], [0.25 * count**0.5, 0, 0.5 * count**0.5]], dtype=torch.float64
    )
    torch.testing.assert_close(found, expected)


def test_distances_want_walks():
    for shape in [(4, 3, 5, 7), (2, 1, 3, 5, 7)]:
        with pytest.raises(ValueError, match="F >= 2"):
            adjacent_distances(torch.zeros(shape))


def test_the_walk_ends_at_both_noises():
    a, b = image_noise(1, (4, 3, 5)), image_noise(2, (4, 3, 5))
    path = noise_walk(a, b, 7)
    assert path.shape == (7, 4, 3, 5)
    torch.testing.assert_close(path[[0, -1]], torch.cat([a, b]))


def test_short_names_can_be_file_names():
    specs = ["avatars", "avatars-smooth", "/x/model+/y/z.safetensors@0.5"]
    assert short_names(specs) == ["avatars", "avatars-smooth", "z@0.5"]
    assert short_names(["/a/m", "/b/m"]) == ["0-m", "1-m"]


def test_ctrl_c_leaves_nothing_half_made(tiny, tmp_path, monkeypatch, capsys, ctrl_c):
    """Stopped in the second model's walk: one line, no file, and the same command works."""
    seen, usual = [], seeds.walk

    def stopping(*arguments):
        seen.append(arguments[-1])
        if len(seen) == 2:
            ctrl_c()
        return usual(*arguments)

    monkeypatch.setattr(seeds, "walk", stopping)
    words = ["interpolate", "--prompt", "a", "--models", str(tiny.model), tiny.smooth]
    words += ["--frames", "3", "--steps", "1", "--device", "cpu", "--out", str(tmp_path / "o")]
    assert main(words) == 130
    assert capsys.readouterr() == ("", "latentgeo interpolate: interrupted\n")
    assert not any(tmp_path.rglob("*"))
    assert main(words) == 0 and (tmp_path / "o" / "strip.png").is_file()


def test_models_are_compared_on_one_walk(tiny, tmp_path, capsys):
    models = [str(tiny.model), tiny.smooth]
    words = ["--prompt", "a sad person", "--frames", "5", "--seed", "3", "--seed-b", "4"]
    words += ["--models", *models, "--device", "cpu", "--out", str(tmp_path)]
    assert main(["interpolate", *words]) == 0
    written = [line.split("/")[-1] for line in capsys.readouterr().out.splitlines()]
    assert {"strip.png", "distances.json", "distances.svg"} <= set(written)
    assert sum(name.endswith(".gif") for name in written) == 2
    found = json.loads((tmp_path / "distances.json").read_text())
    assert list(found["distances"]) == models
    assert all(len(values) == 4 and min(values) > 0 for values in found["distances"].values())
    assert found["distances"][models[0]] != found["distances"][models[1]]
    assert read_metadata(tmp_path / "strip.png") == found
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width > 5 * 96 and strip.height > 2 * 96
    svg = (tmp_path / "distances.svg").read_text()
    assert svg.startswith("<svg") and "currentColor" in svg


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--frames", "1"), "frames"),
        (("--seed-b", "0"), "--seed-b: got 0 twice"),
        (("--models", "nowhere"), "nowhere"),
        (("--steps", "0"), "steps"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, words, message):
    start = ["interpolate", "--prompt", "a", "--models", str(tiny.model), "--device", "cpu"]
    assert main([*start, "--out", str(tmp_path / "out"), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
