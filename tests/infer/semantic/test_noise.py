"""Inversions of images: they lead back, and are computed once for all that decides them."""

import torch

from latentgeo.core import ddim
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.infer.semantic.editing import Editing, edit, editing_times
from latentgeo.infer.semantic.noise import PART, noises_of
from tests.models.bundles.test_image_model import CONFIGS, made


def given(count):
    generator = torch.Generator().manual_seed(0)
    return made(CONFIGS["ddpm"]), torch.rand(count, 3, 12, 12, generator=generator) * 2 - 1


def test_it_is_ddims_inversion_and_the_edit_of_nothing_its_way_back(tmp_path):
    """Asyrp Alg. 1: up by the corrected line, down by DDIM; refined, the way back ends at x_0."""
    model, images = given(2)
    model = model.to("cpu", torch.float64)
    images = images.double()
    visited = editing_times(model.schedule, 11)
    assert (visited[0], visited[-2:], len(visited)) == (1000, (1, 0), 12)
    found = noises_of(model, images, visited, tmp_path)
    with torch.no_grad():
        wanted = ddim.invert(
            lambda x, t: denoiser_of(model)(x, t)[0], model.schedule, images, visited
        )
    torch.testing.assert_close(found, wanted.float())
    refined = noises_of(model, images, visited, tmp_path, refine=9).double()
    assert not torch.equal(refined, found.double())
    none = Editing(attributes=[], scales=torch.zeros(2, 0))
    back = edit(model, refined, none, visited)
    assert (back - images).abs().max() < 1e-3
    rough = (edit(model, found.double(), none, visited) - images).abs().max()
    assert rough > 10 * (back - images).abs().max()


def test_files_are_found_again_and_are_of_what_decides_them(tmp_path, monkeypatch):
    model, images = given(PART + 3)
    visited = editing_times(model.schedule, 3)
    first = noises_of(model, images, visited, tmp_path)
    assert first.shape == (PART + 3, *model.shape)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 2
    assert torch.equal(noises_of(model, images, visited, tmp_path), first)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    noises_of(model, images[:PART], visited, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # a whole file is another set's, too
    noises_of(model, images[:2], editing_times(model.schedule, 4), tmp_path)
    with torch.no_grad():
        next(model.unet.parameters()).add_(1e-3)
    noises_of(model, images[:2], visited, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
