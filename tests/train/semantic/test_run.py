"""`latentgeo train-asyrp`, from the command line to files that edit-semantic takes."""

import json
from dataclasses import replace

import pytest
import torch

from latentgeo.core import asyrp
from latentgeo.core.run.main import main
from latentgeo.core.run.seeds import mix
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.infer.semantic.editing import Attribute, Editing, edit, editing_times
from latentgeo.infer.semantic.intervals import Intervals, write_intervals
from latentgeo.models.bundles.delta_h import DirectionTable, GlobalDirection, ImplicitDirection
from latentgeo.models.bundles.image_model import new_image_model, save_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.formats.delta_file import read_direction, read_purpose
from latentgeo.train.loop.log import read_log
from latentgeo.train.semantic import run as asyrp_run
from latentgeo.train.semantic.settings import TrainAsyrp


class Brightness:
    """A judge of how bright an image is, beside where; of texts it knows how bright alone."""

    def images(self, x):
        cells = torch.nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 4).flatten(1)
        level = cells.mean(1, keepdim=True)
        return unit(torch.cat([torch.ones_like(level), level, cells - level], dim=1))

    def texts(self, texts):
        level = torch.tensor([{"dark": -1.0, "plain": 0.0, "bright": 1.0}[t] for t in texts])
        return unit(torch.stack([torch.ones(len(texts)), level, *torch.zeros(16, len(texts))], 1))


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return image_predictor(tmp_path_factory.mktemp("asyrp") / "tiny")


def image_predictor(folder):
    """A model of 16 × 16 images with random weights, which predicts x_0, and so images."""
    torch.manual_seed(0)
    model = new_image_model(replace(TRAINED_PRESETS["tiny"], prediction="x_0"))
    for weight in model.unet.parameters():
        torch.nn.init.normal_(weight, std=0.15)
    return save_image_model(model, folder)


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(asyrp_run, "judge_of", lambda settings, device: Brightness())


def words(place, out, *more: object):
    about = "--name bright --source plain --target bright --trained-steps 5".split()
    return ["train-asyrp", "--model", str(place), "--out", str(out), *about, *map(str, more)]


def test_a_direction_does_what_its_texts_say(place, judged, tmp_path):
    """Asyrp Alg. 2, Asyrp Sec. J.2: of random x_T; edits are brighter, negative scales darker."""
    small = ("--n-images", 16, "--t-edit", 400, "--recon-weight", 0.1, "--epochs", 2, "--batch", 2)
    assert main(words(place, tmp_path, *small, "--rate", 0.3)) == 0
    path = tmp_path / "bright.safetensors"
    purpose, direction = read_purpose(path), read_direction(path)
    assert isinstance(direction, ImplicitDirection)
    assert (purpose.S, purpose.t_edit, purpose.source) == (5, 400, "plain")
    assert purpose.similarity == pytest.approx(0.5**0.5)
    log = read_log(tmp_path / "log.jsonl")
    assert log[-1]["step"] == 16 * 3  # 16 × 2 / 2 batches, 3 of 5 times
    assert log[-1]["bright.direction"] < 0.9 * log[0]["bright.direction"]
    model = load_plain(str(place), torch.device("cpu"))
    x = seed_noises([mix(9, "held out", i) for i in range(7)], model.shape)
    visited = editing_times(model.schedule, 5)
    one = Attribute(direction=direction, t_edit=400, S=5)
    found = [
        edit(model, x, Editing(attributes=[one], scales=torch.full((7, 1), c)), visited).mean()
        for c in (-1.0, 0.0, 1.0)
    ]
    assert found[0] < found[1] < found[2]


def test_adamw_moves_every_weight_alike(place, judged, tmp_path):
    """A step of it is about the rate, whatever the gradient, which plain descent is the size of."""
    small = ("--n-images", 1, "--t-edit", 400, "--seed", 3, "--steps")
    moved = {}
    for kind in ("sgd", "adamw"):
        rows = []
        for steps in (1, 2):
            out = tmp_path / f"{kind}{steps}"
            given = (*small, steps, "--optimizer", kind, "--rate", 1e-3)
            assert main(words(place, out, *given)) == 0
            rows.append(read_direction(out / "bright.safetensors").state_dict()["conv2.bias"])
        moved[kind] = (rows[1] - rows[0]).abs()
    assert moved["sgd"].max() > 3 * moved["sgd"].min()
    assert (moved["adamw"] < 2e-3).all() and moved["adamw"].min() > 1e-4


def test_the_defaults_are_the_papers(tmp_path):
    """Asyrp Sec. 5: S = 40, one epoch over 1,000; λ_CLIP of most of Table 3, the released rate."""
    found = TrainAsyrp(model="m", out=tmp_path, name="a", source="x", target="y")
    assert (found.trained_steps, found.epochs, found.n_images) == (40, 1, 1000)
    assert (found.clip_weight, found.recon_weight, found.rate, found.clip) == (0.8, None, 0.5, 0)


@pytest.mark.parametrize(("kind", "cls"), [("table", DirectionTable), ("global", GlobalDirection)])
def test_other_kinds_and_images_inverted_once(place, judged, pictures, tmp_path, kind, cls):
    """Asyrp Alg. 2, Asyrp Sec. L.2, on real images; a second run finds their noises, and the
    file can be used.
    """
    given = ("--data", pictures, "--n-images", 7, "--t-edit", 400, "--kind", kind)
    given += ("--cache", tmp_path / "cache", "--samples", 2, "--sample-every", 20)
    assert main(words(place, tmp_path / "a", *given)) == 0
    assert len(list((tmp_path / "a" / "samples").glob("*.png"))) == 3  # at 0, 20, 21
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert main(words(place, tmp_path / "b", *given, "--minutes", 1e-9)) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files
    assert main(words(place, tmp_path / "b", *given, "--resume", "--minutes", "none")) == 0
    path = tmp_path / "b" / "bright.safetensors"
    assert isinstance(read_direction(path), cls)
    assert path.read_bytes() == (tmp_path / "a" / "bright.safetensors").read_bytes()
    edit_words = ["--seeds", "1", "--direction", str(path), "--steps", "3"]
    model = ["--model", str(place), "--out", str(tmp_path / "edits"), "--device", "cpu"]
    assert main(["edit-semantic", *model, *edit_words]) == 0


def test_inversions_lie_in_the_run_unless_told(place, judged, pictures, tmp_path):
    """Asyrp Alg. 2: images are inverted once, and kept."""
    given = ("--data", pictures, "--n-images", 2, "--t-edit", 400, "--steps", 1)
    assert main(words(place, tmp_path, *given)) == 0
    assert len(list((tmp_path / "inversions").iterdir())) == 1


@pytest.mark.parametrize(
    "more", [("--layer", "up.0"), ("--layer", "eps", "--kind", "table"), ("--layer", "down.1")]
)
def test_a_direction_of_another_layer(place, judged, tmp_path, more):
    """Asyrp Sec. D.3, Asyrp Sec. 3.2: its file says where, and edit-semantic goes by it."""
    small = ("--n-images", 2, "--t-edit", 400, "--batch", 2, "--epochs", 4, "--recon-weight", 0.1)
    assert main(words(place, tmp_path, *small, *more, "--rate", 0.3)) == 0
    path = tmp_path / "bright.safetensors"
    assert read_purpose(path).layer == more[1]
    log = read_log(tmp_path / "log.jsonl")
    assert log[-1]["bright.direction"] < log[0]["bright.direction"]
    edit_words = ["edit-semantic", "--seeds", "1", "--direction", str(path), "--steps", "3"]
    edit_words += ["--model", str(place), "--device", "cpu", "--averaged", "2", "--strip", "1"]
    for shift in ("own", "mean"):
        assert main([*edit_words, "--shift", shift, "--out", str(tmp_path / shift)]) == 0


def test_a_table_of_eps_moves_predictions_at_one_rate(place):
    """Asyrp Sec. 3.2, Asyrp Eq. 3: a step of descent moves P_t by -rate ∂L/∂P_t at every t."""
    model = load_plain(str(place), torch.device("cpu")).to("cpu", torch.float64)
    times, moved = [1000, 700, 3], 0.2 * torch.randn(3, *model.shape).double()
    table = asyrp_run.eps_table(model, times, moved)
    x, eps, slope = torch.randn(3, 3, *model.shape).double()
    now = torch.tensor(times)

    def P(shifts):
        return asyrp.predicted(model.schedule, x, eps + shifts, now)

    before = P(table.shifts)
    torch.testing.assert_close(before - P(0), moved, rtol=1e-6, atol=1e-9)
    (before * slope).sum().backward()
    torch.optim.SGD(table.parameters(), lr=0.3).step()
    torch.testing.assert_close(P(table.shifts) - before, -0.3 * slope, rtol=1e-6, atol=1e-9)


def test_several_attributes_by_measured_intervals(place, judged, tmp_path):
    """Asyrp Sec. 4.1, Asyrp Sec. J.1: t_edit and λ_recon of each by its texts' similarity."""
    rows = {
        "b": {"source": "plain", "target": "bright"},
        "d": {"source": "bright", "target": "dark"},
    }
    (tmp_path / "a.json").write_text(json.dumps(rows))
    measured = Intervals(
        times=(1, 300, 700, 1000),
        strength=(0.0, 0.1, 0.25, 0.5),
        deficiency=(0.0, 1.0, 1.3, 1.4),
        boost=1.2,
        settings={},
    )
    settings = TrainAsyrp(
        model=str(place),
        out=tmp_path / "out",
        attributes=tmp_path / "a.json",
        intervals=write_intervals(tmp_path / "i.json", measured),
        trained_steps=5,
        n_images=2,
        device="cpu",
    )
    asyrp_run.train(settings, Brightness())
    b, d = (read_purpose(tmp_path / "out" / f"{name}.safetensors") for name in "bd")
    assert (b.t_edit, d.t_edit, b.t_boost) == (700, 1, 700)  # 0.33 · 0.71 = 0.233, and 0.33 · 0
    assert d.similarity == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ((), "--t-edit: got none for bright"),
        (("--t-edit", 1001), "--t-edit: got 1001 for bright, wanted 1 to 1000"),
        (("--t-edit", 5, "--dtype", "bf16"), "dtype"),
        (("--t-edit", 5, "--accumulate", 2, "--batch", 2), "accumulate"),
        (("--attributes", "a.toml"), "attributes"),
        (("--t-edit", 5, "--layer", "up.7"), "layer: got 'up.7', wanted one of in"),
        (("--t-edit", 5, "--layer", "eps"), "--layer: got eps with --kind implicit"),
        (("--intervals", "none.json"), "none.json"),
        (("--t-edit", 5, "--data", "avatars:test", "--n-images", 100_000), "has"),
    ],
)
def test_what_it_refuses(place, judged, tmp_path, capsys, more, named):
    assert main(words(place, tmp_path / "out", *more)) == 2
    assert named in capsys.readouterr().err
