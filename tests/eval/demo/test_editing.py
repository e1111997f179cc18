"""The report's section on edits in h: its pictures and numbers, and what it says without any."""

from dataclasses import replace

import torch

from latentgeo.eval.demo.editing import Semantic, editing_section, files, succeeded, together
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.runs.results import Result
from latentgeo.eval.semantic.run import prepared
from latentgeo.eval.semantic.settings import EvalAsyrp
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.models.bundles.delta_h import GlobalDirection
from latentgeo.models.bundles.image_model import save_image_model
from latentgeo.models.formats.delta_file import Purpose, write_direction

TINY = Semantic(shown=1, measured=2, steps=3, scales=(-1.0, 0.0, 1.0))


def test_pictures_and_numbers_of_two_edits(small, shift, tiny, tmp_path):
    """Asyrp Alg. 1: the table is that of eval-asyrp; two halves of a shift are the whole."""
    place = save_image_model(small, tmp_path / "m")
    delta = shift.attribute.direction.shift
    for name, target in (("smile", "a smiling face"), ("sad", "a sad face")):
        about = Purpose(name=name, source="a face", target=target, S=3, t_edit=400)
        path = tmp_path / "d" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        write_direction(path, GlobalDirection(delta / 2), about)
    given = {"data": tiny.data, "classifier": tiny.classifier, "device": "cpu"}
    demo = Demo(out=tmp_path, **given)
    page, results = editing_section(demo, TINY, str(place), tmp_path / "d")
    assert "linearity, R²" in page and page.count("<figure>") == 2
    assert {one.model for one in results} == {"smile", "sad"}
    assert "edits" in read_metadata(tmp_path / "edits-combined.png")
    every = tuple(str(path) for path in sorted((tmp_path / "d").iterdir()))
    assert files(TINY, tmp_path / "d") == every
    assert files(replace(TINY, names=("sad",)), tmp_path / "d") == every[:1]
    cmd = EvalAsyrp(
        model=str(place), edits=every, out=tmp_path / "editing", n_images=2, steps=3, **given
    )
    subject, edits = prepared(cmd, torch.device("cpu"))
    whole = subject.edited(shift, [0])
    torch.testing.assert_close(together(subject, edits, [0]), whole, rtol=1e-4, atol=1e-4)


def test_without_directions_it_says_so(tmp_path):
    page, results = editing_section(Demo(out=tmp_path), TINY, directions=tmp_path / "none")
    assert "No directions in none." in page and results == []


def test_what_was_found_is_the_share_of_faces_that_lacked_it():
    def one(metric, model, value):
        low, high = value - 0.2, min(1.0, value + 0.1)
        return Result(
            paper="Asyrp",
            metric=metric,
            model=model,
            value=value,
            interval=[low, high],
            n=7,
            seed=0,
        )

    results = [one("success: success", "glasses", 0.75), one("success: S_dir", "glasses", 0.5)]
    assert succeeded(results).endswith("adds: glasses 75 % [55, 85] (n = 7).")
    assert succeeded([]) == ""
