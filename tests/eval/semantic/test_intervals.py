"""`latentgeo eval-intervals`: the distances from their definition, the files, going on."""

import json
from dataclasses import replace

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core.run.main import main
from latentgeo.core.schedule import batch_time
from latentgeo.eval.semantic.intervals import distances
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.infer.semantic.intervals import read_intervals
from latentgeo.models.bundles.image_model import new_image_model, save_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from tests.models.bundles.test_image_model import CONFIGS, made


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of a model of 32 × 32 images."""
    config = TRAINED_PRESETS["tiny"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_image_model(replace(config, sampling=replace(config.sampling, size=32)))
    return save_image_model(model, tmp_path_factory.mktemp("intervals") / "m")


@pytest.mark.parametrize("name", ["ddpm", "ldm"])
@torch.no_grad()
def test_distances_from_their_definition(name):
    """Asyrp Sec. 4.1, Asyrp Sec. 4.2, Asyrp Sec. G.2: of P_t and x_t at every time of the
    inversion, T too.
    """
    model = made(CONFIGS[name]).to("cpu", torch.float64)
    size = model.config.sampling.size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, size, size, generator=generator, dtype=torch.float64) * 2 - 1

    def squares(x, y):
        return (x - y).square().flatten(1).mean(1)

    visited = editing_times(model.schedule, 4)
    found = distances(model, squares, images, visited)
    path = {}
    ddim.invert(
        lambda x, t: denoiser_of(model)(x, t)[0],
        model.schedule,
        model.encode(images),
        visited,
        on_step=lambda t, x: path.update({t: x}),
    )
    assert sorted(found) == sorted(path) == sorted(visited[:-1])
    for t, x_t in path.items():
        bar = model.schedule.alpha_bar[t]
        eps = denoiser_of(model)(x_t, batch_time(t, x_t))[0]
        P = model.decode((x_t - (1 - bar).sqrt() * eps) / bar.sqrt())
        noisy = x_t if name == "ddpm" else model.decode(x_t)
        torch.testing.assert_close(found[t][0], squares(images, P))
        torch.testing.assert_close(found[t][1], squares(images, noisy))


def test_the_command_writes_what_the_others_read(place, tiny, tmp_path, capsys):
    words = ["eval-intervals", "--model", str(place), "--data", str(tiny.data), "--device", "cpu"]
    words += ["--out", str(tmp_path), "--n-images", "3", "--steps", "3", "--similarity", "1", "0.8"]
    with pytest.warns(UserWarning, match="no boosting"):
        assert main(words) == 0
    first = capsys.readouterr().out
    assert "t_edit, cos = 0.8" in first and "t_boost" in first
    found = read_intervals(tmp_path / "intervals.json")
    assert len(found.times) == 3 and found.times[-1] == 1000
    content = json.loads((tmp_path / "results.json").read_text())["results"]
    by_name = {one["metric"]: one for one in content}
    assert by_name["t_edit, cos = 1"]["value"] == found.t_edit(1.0)
    assert by_name["LPIPS(x, x_t) at t = 1000"]["n"] == 3
    assert (tmp_path / "intervals.svg").read_text().startswith("<svg")
    rows = {path: path.read_bytes() for path in (tmp_path / "rows").rglob("*")}
    with pytest.warns(UserWarning, match="no boosting"):
        assert main([*words, "--batch", "1"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "rows").rglob("*")} == rows
    assert capsys.readouterr().out == first
    with pytest.warns(UserWarning, match="no boosting"):
        assert main([*words, "--edit-rule", "shortest"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "rows").rglob("*")} == rows
    shortest = read_intervals(tmp_path / "intervals.json")
    assert shortest == replace(found, rule="shortest", settings=shortest.settings)
    assert shortest.settings["edit_rule"] == "shortest" and found.settings["edit_rule"] == "first"
