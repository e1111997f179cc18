"""A step of Isometric Diffusion beside the published formulation: the same loss and gradient."""

from dataclasses import replace

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.bench import isometric as bench
from latentgeo.eval.bench.step import Count
from latentgeo.models.bundles.image_model import new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS

pytest.importorskip("diffusers")


@pytest.fixture
def model():
    torch.manual_seed(0)
    found = new_image_model(TRAINED_PRESETS["tiny"]).to("cpu", torch.float64)
    for weight in found.unet.parameters():
        torch.nn.init.normal_(weight, std=0.2)  # also those that start at zero
    return found


def test_all_formulations_are_one(model):
    """Iso Eq. 6: in the chart or on tangents, by reverse or forward mode, in either network."""
    given = bench.inputs(model, 2)
    weights = [w for w in model.unet.parameters() if w.requires_grad]
    found = bench.ours(model, given)
    again = bench.published(bench.of_ours(model, given), given)
    theirs = bench.published(bench.OfDiffusers(model, given), given)
    torch.testing.assert_close(again, found, rtol=1e-9, atol=0)
    torch.testing.assert_close(theirs, found, rtol=1e-7, atol=0)  # times are embedded in float32
    ours, theirs = (
        torch.autograd.grad(x, weights, allow_unused=True, materialize_grads=True)
        for x in (found, again)
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-12)


def test_steps_add_the_terms(model):
    """The whole step's loss is the plain one's and L_iso's; diffusers' are ours."""
    found = {name: step() for name, step in bench.steps(model, 2).items()}
    for name in (bench.OURS, bench.PUBLISHED):
        torch.testing.assert_close(found[name], found[bench.PLAIN] + found[name + bench.ALONE])
    torch.testing.assert_close(found[bench.OURS], found[bench.PUBLISHED])


def test_patches_are_cells_of_the_peer():
    """A model of patches and diffusers' network of its cells predict the same."""
    torch.manual_seed(0)
    config = replace(TRAINED_PRESETS["tiny"], unet=replace(TRAINED_PRESETS["tiny"].unet, patch=2))
    found = new_image_model(config).to("cpu", torch.float64)
    losses = {name: step() for name, step in bench.steps(found, 2).items()}
    torch.testing.assert_close(losses[bench.OURS], losses[bench.PUBLISHED])


def test_the_table_names_the_peer():
    """Ratios are to the published step, those of L_iso alone to its L_iso, memory above plain's."""
    names = [
        bench.PLAIN,
        *(n + a for n in (bench.OURS, bench.PUBLISHED) for a in ("", bench.ALONE)),
    ]
    seconds = dict(zip(names, [1.0, 3.0, 2.0, 6.0, 5.0], strict=True))
    counts = {name: Count(launches=7, peak=10**9 * int(seconds[name])) for name in names}
    rows = {
        line[:36].strip(): line[36:].split()
        for line in bench.table(seconds, counts).split("\n")[1:]
    }
    assert rows[bench.OURS] == ["3.000", "0.500", "2.000", "0.400", "7"]
    assert rows[bench.OURS + bench.ALONE] == ["2.000", "0.400", "1.000", "0.200", "7"]


def test_the_command(capsys):
    assert main(["bench-isometric", "--preset", "tiny", "--batch", "1", "--rounds", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7
    assert main(["bench-isometric", "--preset", "huge"]) == 2
    assert "preset must be one of avatars-ddpm" in capsys.readouterr().err
    assert main(["bench-isometric", "--batch", "0"]) == 2
    assert "batch must be at least 1, got 0" in capsys.readouterr().err
