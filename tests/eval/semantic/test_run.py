"""`latentgeo eval-asyrp`, from the command line to the files, going on, and what it refuses."""

import json

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.semantic.settings import PROPERTIES
from latentgeo.models.bundles.delta_h import GlobalDirection
from latentgeo.models.bundles.image_model import save_image_model
from latentgeo.models.formats.delta_file import Purpose, write_direction


@pytest.fixture(scope="module")
def place(small, shift, tmp_path_factory):
    """A folder of the model, of two directions, and of some that cannot be measured."""
    folder = tmp_path_factory.mktemp("asyrp")
    save_image_model(small, folder / "m")
    said = {
        "smile": ("a face", "a smiling face", 400),
        "glasses": ("a face", "a face with glasses", 600),
        "zombie": ("a face", "a zombie", 400),
        "silent": (None, None, 400),
    }
    for name, (source, target, t_edit) in said.items():
        about = Purpose(name=name, source=source, target=target, S=3, t_edit=t_edit)
        direction = GlobalDirection(torch.randn_like(shift.attribute.direction.shift))
        write_direction(folder / f"{name}.safetensors", direction, about)
    return folder


def run(place, tiny, out, *words: object, edits=("smile", "glasses")) -> int:
    start = ["eval-asyrp", "--model", place / "m", "--data", tiny.data, "--out", out]
    start += ["--classifier", tiny.classifier, "--device", "cpu", "--steps", "3"]
    start += ["--lengths", "2", "--levels", "0.5", "--averaged", "2", "--scales", "-1", "0", "1"]
    files = [place / f"{name}.safetensors" for name in edits]
    return main([*map(str, [*start, "--edits", *files, *words])])


def test_everything_is_measured_and_goes_on(place, tiny, tmp_path, capsys):
    """Every property of every edit, and noise once; finished rows are not made again."""
    words = ("--n-images", 2, "--rivals", f"smile={place / 'm'}")
    assert run(place, tiny, tmp_path, *words) == 0
    first = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    found = {(one["model"], one["metric"].partition(": ")[0]) for one in results}
    both = {(name, one) for name in ("smile", "glasses") for one in PROPERTIES}
    assert found == both - {("glasses", "robustness")}
    whole = [one for one in results if "whole model tuned" in one["metric"]]
    assert {one["model"] for one in whole} == {"smile"}
    same = next(one for one in whole if one["metric"].endswith("LPIPS to the unedited"))
    assert same["value"] == pytest.approx(0, abs=1e-6) and same["n"] == 2
    rows = {path: path.read_bytes() for path in (tmp_path / "rows").rglob("*.jsonl")}
    assert len(rows) == len(both) - 1
    assert run(place, tiny, tmp_path, *words, "--batch", 1) == 0
    assert {path: path.read_bytes() for path in rows} == rows
    assert capsys.readouterr().out == first
    words = ("--n-images", 3, "--properties", "success", "layers")
    assert run(place, tiny, tmp_path, *words) == 0
    for path in (tmp_path / "rows" / "success").rglob("*.jsonl"):
        assert path.read_bytes().startswith(rows[path]) and path.read_bytes() != rows[path]
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    layers = [one["metric"] for one in results if one["metric"].startswith("layers: h, layer 5")]
    assert any(one.endswith("own shift: S_dir") for one in layers)


@pytest.mark.parametrize(
    ("edits", "words", "named"),
    [
        (("smile",), ("--properties", "beauty"), "properties: got 'beauty'"),
        (("smile",), ("--rivals", "frown=m"), "rivals: got 'frown', wanted the name of an edit"),
        (("smile",), ("--rivals", "smile"), "wanted NAME=MODEL"),
        (("silent",), (), "does not say its texts"),
        (("zombie",), (), "no change of an attribute"),
        (("smile",), ("--scales", "1", "2"), "scales"),
        (("smile",), ("--lengths", "1"), "lengths"),
        (("smile",), ("--n-images", "1"), "--n-images must be at least 2"),
        (("smile",), ("--levels", "-1"), "levels"),
    ],
)
def test_what_it_refuses(place, tiny, tmp_path, capsys, edits, words, named):
    assert run(place, tiny, tmp_path, *words, edits=edits) == 2
    assert named in capsys.readouterr().err


def test_images_that_the_classifier_cannot_read(place, tiny, tmp_path, capsys):
    words = ["eval-asyrp", "--model", str(place / "m"), "--data", str(tiny.data), "--out"]
    words += [str(tmp_path), "--device", "cpu", "--edits", str(place / "smile.safetensors")]
    assert main(words) == 2
    assert "its images have 32 pixels a side, the classifier reads 64" in capsys.readouterr().err
