"""`latentgeo eval-drag` on a tiny model, and its measures on edits that are known."""

import json

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.smooth.drags import CASES, MD, THERE, Case, measure, read_cases
from latentgeo.infer.drags import defaults as drag_settings
from latentgeo.infer.drags.drag import Dragged, Dragging, Moved, Request
from latentgeo.infer.drags.identity import Identity
from latentgeo.models.perceptual import load_lpips

QUICK = Dragging(steps=3, iterations=2, identity=Identity(rank=2, steps=1, batch=2))


def test_the_prepared_cases_are_of_held_out_images_and_inside_them():
    cases, held = read_cases(CASES), captioned()
    assert len(cases) == 10 and len({case.image for case in cases}) == 10
    for case in cases:
        request = case.request(64, 64)
        assert case.image in held.names and case.what
        length = (request.targets - request.handles).norm(dim=1)
        assert (length >= 5).all() and (length <= 8).all()
        for points in (request.handles, request.targets):
            x, y = points.long().unbind(dim=1)
            assert request.mask[y, x].all()
        assert (request.mask == 0).float().mean() > 0.1


def shifted(image, pixels):
    return torch.cat([image[..., :1].expand(-1, -1, pixels), image[..., :-pixels]], dim=-1)


def test_an_image_that_moved_as_asked_is_at_its_targets():
    """MD 0 where everything moved as asked, the length of the way where nothing did."""
    data = captioned()
    image = data.images(64)[data.names.index("001619.webp")]
    handles = torch.tensor([[22.0, 26], [29, 38]])
    mask = torch.ones(64, 64)
    mask[:, :4] = 0
    request = Request(handles=handles, targets=handles + torch.tensor([8.0, 0]), mask=mask)
    moved = Moved(z=torch.zeros(1), tracks=[handles, handles + 4], losses=[1.0])
    judge = load_lpips()
    for edited, distance in ((shifted(image, 8), 0), (image, 8)):
        done = Dragged(original=image, edited=edited, decoded=image + 2 / 255, moved=moved)
        found = measure(done, request, judge)
        assert found.distance == pytest.approx(distance, abs=0.5)
        assert found.start == 8 and found.tracked == pytest.approx((16 + 16) ** 0.5)
        assert found.updates == 1
        assert 0 < found.decoded <= 1.01
    assert found.fidelity == 1 and found.kept == 0


def test_two_models_are_measured_on_the_same_cases(tiny, tmp_path, capsys, monkeypatch):
    """Smooth Fig. 6: the base and its twin."""
    monkeypatch.setattr(drag_settings, "SMALL", QUICK)
    names = captioned(tiny.data).names[:3]
    cases = [
        {
            "image": name,
            "what": f"case {i}",
            "points": [[[5, 6], [15, 6]]],
            "editable": [0, 0, 20, 31],
        }
        for i, name in enumerate(names)
    ]
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}))
    out = tmp_path / "out"
    words = ["--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data), "--device", "cpu"]
    words += ["--cases", str(tmp_path / "cases.json"), "--limit", "2", "--out", str(out)]
    assert main(["eval-drag", *words]) == 0
    rows = json.loads((out / "cases.json").read_text())
    results = json.loads((out / "results.json").read_text())["results"]
    for spec in (str(tiny.model), tiny.smooth):
        distances = [row["distance"] for row in rows[spec]]
        assert len(distances) == 2 and rows[spec][0]["start"] == 10
        (md,) = [one for one in results if one["model"] == spec and one["metric"] == MD]
        assert md["value"] == pytest.approx(sum(distances) / 2) and md["n"] == 2
        (there,) = [one for one in results if one["model"] == spec and one["metric"] == THERE]
        assert there["value"] == sum(value <= 2 for value in distances) / 2
    assert sum("minus" in one["metric"] for one in results) == 5
    assert (out / "cases.png").is_file() and MD in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "nowhere"], "nowhere"),
        (["--limit", "0"], "limit"),
        (["--cases", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, words, message):
    assert main(["eval-drag", "--out", str(tmp_path / "out"), "--device", "cpu", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("text", ["[]", '{"cases": []}', '{"cases": [{"image": "a"}]}', "x"])
def test_a_file_of_other_things_is_refused(tmp_path, text):
    path = tmp_path / "cases.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"cases\.json"):
        read_cases(path)


def test_an_image_that_is_not_held_out_is_named(tiny, tmp_path):
    case = Case(image="no.png", what="x", points=[[[1, 1], [2, 2]]], editable=[0, 0, 9, 9])
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [vars(case)]}))
    words = ["--models", str(tiny.model), "--data", str(tiny.data), "--cases", str(path)]
    assert main(["eval-drag", *words, "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
