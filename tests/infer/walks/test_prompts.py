"""`latentgeo interpolate --prompts`, from the line to the files."""

import json

import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.pictures.images import read_metadata


def words(tiny, out, *more):
    models = [] if "--models" in more else ["--models", str(tiny.model)]
    start = ["interpolate", *models, "--device", "cpu", "--out", str(out)]
    return [*start, "--prompts", "a sad person", "", *more]


def test_couplings_and_models_are_beside_each_other(tiny, tmp_path, capsys):
    more = ["a smiling person", "--frames", "3", "--steps", "1"]
    more += ["--models", str(tiny.model), tiny.smooth]
    assert main(words(tiny, tmp_path, *more)) == 0
    written = {line.split("/")[-1] for line in capsys.readouterr().out.splitlines()}
    assert {"strip.png", "distances.json", "distances.svg"} <= written
    assert sum(name.endswith(".gif") for name in written) == 4
    found = json.loads((tmp_path / "distances.json").read_text())
    assert read_metadata(tmp_path / "strip.png") == found
    rows = list(found["distances"])
    assert len(rows) == 4 and all(len(found["distances"][row]) == 4 for row in rows)
    lengths = found["path_length_w2"]
    for row in rows:
        if row.endswith("-optimal"):
            assert lengths[row] < lengths[row.replace("-optimal", "-index")]
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width > 5 * 96 and strip.height > 4 * 96


def test_the_noise_may_walk_too(tiny, tmp_path, capsys):
    """Then the last image is that of the other seed, and the first is not moved."""
    for name, more in (("still", []), ("moving", ["--noise-too"])):
        frames = ["--frames", "2", "--coupling", "optimal", "--steps", "1", *more]
        assert main(words(tiny, tmp_path / name, *frames)) == 0
    found = {
        name: json.loads((tmp_path / name / "distances.json").read_text())
        for name in ("still", "moving")
    }
    assert found["still"]["seed_b"] is None and found["moving"]["seed_b"] == 1
    assert found["still"]["distances"] != found["moving"]["distances"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--prompt", "a"), "--prompt and --prompts: got both"),
        (("--coupling", "best"), "coupling"),
        (("--coupling", "index", "index"), "each once"),
        (("--frames", "1"), "frames"),
        (("--models", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, more, message):
    assert main(words(tiny, tmp_path, *more)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("more", [(), ("--prompts", "a")])
def test_a_walk_needs_a_prompt_or_several(tmp_path, capsys, more):
    assert main(["interpolate", "--out", str(tmp_path), *more]) == 2
    assert "prompts: " in capsys.readouterr().err
