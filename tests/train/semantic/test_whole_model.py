"""The baseline that fine-tunes a whole model: its loss and paths, and what a run leaves."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core.run.main import main
from latentgeo.core.schedule import batch_time
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.infer.semantic.noise import noises_of
from latentgeo.models.formats.load_image import load_image_model
from latentgeo.train.data.draws import Draws
from latentgeo.train.semantic import whole_model
from latentgeo.train.semantic.settings import TrainDiffusionClip
from latentgeo.train.semantic.whole_model import WholeTask, edited_by
from tests.train.semantic.test_run import Brightness, image_predictor
from tests.train.semantic.test_task import Linear, noise, small_model


def settings_of(out, **changes):
    given = {"model": "m", "name": "a", "source": "plain", "target": "bright"} | changes
    return TrainDiffusionClip(out=out, batch=2, trained_steps=5, device="cpu", **given)


def test_losses_and_paths(tmp_path):
    """Asyrp Eq. 7: of a copy that differs, along its own DDIM path beside the frozen one's."""
    model = small_model()
    judge, visited = Linear(3 * 16 * 16), editing_times(model.schedule, 5)[2:]
    texts, x_T = judge.texts(["x", "y"]), noise(2)
    task = WholeTask(model, judge, texts, 1.7, visited, settings_of(tmp_path), x_T)
    with torch.no_grad():
        for weight in task.tuned.unet.parameters():
            weight.mul_(1.1)
    paths = {one: [x_T, *_steps(one, x_T, visited)] for one in (task.model, task.tuned)}
    for i, t in enumerate(visited[:-1]):
        loss, _ = task.loss((x_T, []), Draws(0, 2 * i, 2))
        now, bar = batch_time(t, x_T), model.schedule.alpha_bar[t]
        P, P_edit = (
            (x[i] - (1 - bar).sqrt() * denoiser_of(one)(x[i], now)[0]) / bar.sqrt()
            for one, x in paths.items()
        )
        moved = judge.images(P_edit.clamp(-1, 1)) - judge.images(P.clamp(-1, 1))
        cosine = torch.cosine_similarity(moved, texts[1] - texts[0])
        wanted = (0.8 * (1 - cosine)).mean() + 1.7 * (P_edit - P).abs().mean()
        torch.testing.assert_close(loss, wanted, rtol=1e-7, atol=1e-7)
    loss.backward()
    assert all(weight.grad is not None for weight in task.parameters().values())
    assert all(weight.grad is None for weight in model.unet.parameters())


@torch.no_grad()
def _steps(model, x, visited):
    for t, t_prev in pairwise(visited):
        eps = denoiser_of(model)(x, batch_time(t, x))[0]
        x = ddim.step(model.schedule, x, eps, batch_time(t, x), batch_time(t_prev, x))
        yield x


def test_a_run_leaves_a_model_that_edits(pictures, tmp_path, monkeypatch):
    """Images inverted up to t_0 come down brighter through the copy than through the original."""
    place = image_predictor(tmp_path / "base")
    monkeypatch.setattr(whole_model, "judge_of", lambda settings, device: Brightness())
    words = "--name b --source plain --target bright --trained-steps 5 --t-0 600 --n-images 6"
    words = [*words.split(), "--model", str(place), "--data", str(pictures), "--rate", "1e-3"]
    words += [
        "--out",
        str(tmp_path / "run"),
        "--batch",
        "2",
        "--epochs",
        "3",
        "--recon-weight",
        "0.1",
    ]
    assert main(["train-diffusion-clip", *words, "--sample-every", "9"]) == 0
    base, tuned = load_image_model(place), load_image_model(tmp_path / "run")
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(5, 3, 16, 16, generator=generator) - 0.5
    visited = tuple(t for t in editing_times(base.schedule, 5) if t <= 600)
    x = noises_of(base, images, visited, tmp_path / "inversions")
    assert edited_by(tuned, x, visited).mean() > edited_by(base, x, visited).mean()
    assert (tmp_path / "run" / "samples" / "step-00000009.png").is_file()


def test_what_it_refuses(tmp_path):
    with pytest.raises(ValueError, match="data"):
        settings_of(tmp_path, data=None)
    with pytest.raises(ValueError, match="name, source and target"):
        replace(settings_of(tmp_path), target=None)
