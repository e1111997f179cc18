"""`latentgeo inject-content`: what is in each tile, and what the edits are decoded with."""

from itertools import pairwise

import pytest
import torch
from PIL import Image

from latentgeo.core import ddim
from latentgeo.core.run.main import main
from latentgeo.infer.directions.inject_content import injection, table_of
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted import ImageSampling, denoise_images, eps_of, visited_times
from latentgeo.models.bundles.image_model import save_image_model
from tests.models.bundles.test_image_model import CONFIGS, made

HOW = ImageSampling(steps=3)
SEEDS, SOURCES = [2, 3], [5, 7, 11]


@pytest.mark.parametrize(("name", "label"), [("ddpm", None), ("adm", 3)])
@torch.no_grad()
def test_edits_share_the_trajectories_that_are_left_alone(name, label):
    """Iso Sec. G: images and sources are as sampled alone; without weight, so are the edits."""
    model = made(CONFIGS[name])
    x, others = seed_noises(SEEDS, model.shape), seed_noises(SOURCES, model.shape)
    found = injection(model, x, others, HOW, 0.0, label)
    seeds = [*SEEDS, *SOURCES]
    labels = None if label is None else torch.full((5,), label)
    alone = denoise_images(model, torch.cat([x, others]), HOW, seeds, labels)
    torch.testing.assert_close(found[:5], alone, rtol=0, atol=2e-5)
    torch.testing.assert_close(found[5:], alone[:2].repeat_interleave(3, 0), rtol=0, atol=2e-5)
    moved = (injection(model, x, others, HOW, 1.5, label)[5:] - found[5:]).flatten(1).norm(dim=1)
    assert moved.min() > 1e-4


@torch.no_grad()
def test_an_edit_is_decoded_with_the_sum_of_two_bottlenecks():
    """Iso Sec. G: h_t + 1.5 h'_t of the two trajectories at every step, by hand."""
    model = made(CONFIGS["ddpm"])
    x, x_ = start = seed_noises([2], model.shape), seed_noises([5], model.shape)
    edit = x
    for t, t_prev in pairwise(visited_times(model, HOW)):
        now, prev = torch.tensor([t]), torch.tensor([t_prev])
        h, _ = model.encode_h(x, now)
        h_, _ = model.encode_h(x_, now)
        _, skips = model.encode_h(edit, now)
        output = model.decode_h(h + 1.5 * h_, skips, now)
        edit = ddim.step(model.schedule, edit, eps_of(model, edit, output, now), now, prev)
        for_two = torch.cat([x, x_])
        two = now.expand(2)
        eps = eps_of(model, for_two, model.raw()(for_two, two), two)
        x, x_ = ddim.step(model.schedule, for_two, eps, two, prev.expand(2)).split(1)
    found = injection(model, *start, HOW)
    torch.testing.assert_close(found[2:], edit, rtol=0, atol=2e-5)


def test_the_table_has_images_left_and_sources_above():
    tiles = [Image.new("RGB", (96, 96), (20 * i, 0, 0)) for i in range(2 + 3 + 6)]
    sheet = table_of(tiles, SEEDS, SOURCES)
    left, top = sheet.width - 396, sheet.height - 296

    def shade(row, column):
        return sheet.getpixel((left + column * 100 + 50, top + row * 100 + 50))[0] // 20

    assert [shade(1, 0), shade(2, 0)] == [0, 1]
    assert [shade(0, i) for i in (1, 2, 3)] == [2, 3, 4]
    assert [[shade(row, i) for i in (1, 2, 3)] for row in (1, 2)] == [[5, 6, 7], [8, 9, 10]]
    assert sheet.getpixel((left + 50, top + 50)) == (255, 255, 255)


def test_from_the_command_line(tmp_path, capsys):
    place = save_image_model(made(CONFIGS["ddpm"]), tmp_path / "model")
    words = ["inject-content", "--model", str(place), "--out", str(tmp_path / "out")]
    words += ["--device", "cpu", "--steps", "2", "--seeds", "2", "--content-seeds", "5", "7"]
    assert main(words) == 0
    path = tmp_path / "out" / "injection.png"
    assert capsys.readouterr().out.strip() == str(path)
    settings = read_metadata(path)
    assert settings["sources"] == [5, 7] and settings["weight"] == 1.5 and "weights" in settings
    assert main([*words, "--weight", "nan"]) == 2
    assert "weight must be finite, got nan" in capsys.readouterr().err
