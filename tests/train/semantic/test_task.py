"""Training of directions: losses and paths of Alg. 2 written out, and what they move."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from latentgeo.core.run.ranks import ranks
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.infer.semantic.layers import shiftable
from latentgeo.models.bundles.delta_h import DirectionTable, embedding, new_direction
from latentgeo.models.bundles.image_model import new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.formats.delta_file import Purpose
from latentgeo.train.data.draws import Draws
from latentgeo.train.semantic.settings import TrainAsyrp
from latentgeo.train.semantic.task import AsyrpTask, Descent, Learning
from latentgeo.train.semantic.trajectories import Trajectories
from tests.models.test_unet_layers import hooked
from tests.train.ranks import assert_close, together

ONE = {"model": "m", "name": "a", "source": "x", "target": "y"}


class Linear:
    """A judge: images by a fixed matrix, texts by their letters, all of unit length."""

    def __init__(self, pixels, kind=torch.float64):
        generator = torch.Generator().manual_seed(8)
        self.matrix = torch.randn(pixels, 5, generator=generator, dtype=kind)

    def images(self, x):
        return torch.nn.functional.normalize(x.flatten(1) @ self.matrix, dim=1)

    def texts(self, texts):
        seeds = [torch.Generator().manual_seed(sum(map(ord, text))) for text in texts]
        rows = [torch.randn(5, generator=one, dtype=self.matrix.dtype) for one in seeds]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


@pytest.fixture
def model():
    return small_model()


def small_model():
    """A frozen model of 16 × 16 images in float64."""
    torch.manual_seed(0)
    found = new_image_model(TRAINED_PRESETS["tiny"])
    for weight in found.unet.parameters():
        torch.nn.init.normal_(weight, std=0.15)
    found.unet.eval().requires_grad_(False)
    return found.to("cpu", torch.float64)


def learning(model, judge, seed, t_edit, weights):
    torch.manual_seed(seed)
    direction = new_direction(model)
    for weight in direction.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    texts = judge.texts([f"from {seed}", f"to {seed}"])
    return Learning(
        direction=direction,
        purpose=Purpose(name=f"a{seed}"),
        texts=texts,
        t_edit=t_edit,
        clip_weight=weights[0],
        recon_weight=weights[1],
    )


def task_of(model, pairs, out=Path("unused"), batch=2, **changes):
    judge = Linear(3 * 16 * 16)
    found = [learning(model, judge, seed, t_edit, (0.8, 2.1)) for seed, t_edit in pairs]
    settings = TrainAsyrp(**ONE, out=out, t_edit=1, trained_steps=5, batch=batch, **changes)
    visited = editing_times(model.schedule, 5)
    shown = noise(2, 77)
    return AsyrpTask(model, judge, found, visited, settings, shown)


def noise(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 16, 16, generator=generator, dtype=torch.float64)


def by_hand(model, judge, one, x_T, visited):
    """Asyrp Alg. 2, lines 10 to 17, of one attribute and one sample: (L, cosine, |ΔP|) by time."""
    bars, edited, source, found = model.schedule.alpha_bar, x_T, x_T, []

    def split(x, t, a, shift=None):
        h, skips = model.unet.encode(x, torch.tensor([t - 1]))
        h = h if shift is None else h + shift(h)
        eps = model.unet.decode(h, skips, torch.tensor([t - 1]))
        P = ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
        return P, (x - a.sqrt() * P) / (1 - a).sqrt()

    for t, t_prev in pairwise(visited):
        if t < one.t_edit:
            break
        a, b, temb = bars[t], bars[t_prev], embedding(model, torch.tensor([t]))
        P_src, eps_src = split(source, t, a)
        _, eps = split(edited, t, a)
        P, _ = split(edited, t, a, lambda h, e=temb, t=t: one.direction(h, e, torch.tensor([t])))
        delta_i = (judge.images(P) - judge.images(P_src))[0]
        delta_t = one.texts[1] - one.texts[0]
        cosine = delta_i @ delta_t / (delta_i.norm() * delta_t.norm())
        apart = (P - P_src).abs().mean()
        found.append((one.clip_weight * (1 - cosine) + one.recon_weight * apart, cosine, apart))
        edited = (b.sqrt() * P + (1 - b).sqrt() * eps).detach()
        source = b.sqrt() * P_src + (1 - b).sqrt() * eps_src
    return found


def test_losses_and_paths_as_printed(model):
    """Asyrp Alg. 2, Asyrp Eq. 7: both paths of two attributes with intervals of their own."""
    task, x_T = task_of(model, [(1, 700), (2, 501)]), noise(2)  # 501 is a time of the path
    wanted = [
        [by_hand(model, task.judge, one, x_T[i : i + 1], task.visited) for i in range(2)]
        for one in task.learnings
    ]
    assert task.places == 3 and [len(rows[0]) for rows in wanted] == [2, 3]
    for place in range(3):
        loss, terms = task.loss((x_T, []), Draws(0, 2 * place, 2))
        here = [rows for rows in wanted if len(rows[0]) > place]
        values = torch.stack([torch.stack([r[place][0] for r in rows]).mean() for rows in here])
        torch.testing.assert_close(loss, values.sum(), rtol=1e-7, atol=1e-7)
        cosine = sum(rows[place][1] for rows in wanted[1]) / 2
        assert terms["a2.direction"].item() == pytest.approx(1 - cosine.item(), abs=1e-6)
        assert ("a1.direction" in terms) == (place < 2)
        task.end_step()
    again, _ = task.loss((x_T, []), Draws(0, 6, 2))  # the next batch starts anew
    both = [torch.stack([rows[i][0][0] for i in range(2)]).mean() for rows in wanted]
    torch.testing.assert_close(again, sum(both), rtol=1e-7, atol=1e-7)


def test_the_gradient_is_of_one_time_and_of_the_directions_alone(model):
    """Asyrp Alg. 2: by central differences of the second time's loss, x̃ held where it is."""
    task, x_T = task_of(model, [(1, 400)]), noise(2)
    task.loss((x_T, []), Draws(0, 0, 2))
    held = task.paths.x.clone()
    loss, _ = task.loss((x_T, []), Draws(0, 2, 2))
    loss.backward()
    assert all(weight.grad is None for weight in model.unet.parameters())
    weights = task.parameters()
    assert all(weight.grad is not None for weight in weights.values())
    weight = weights["a1.conv2.weight"]
    step = 1e-6 * torch.ones_like(weight)
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step)
            task.paths.x = held.clone()
            sides.append(task.loss((x_T, []), Draws(0, 2, 2))[0])
            weight.sub_(sign * step)
    slope = (sides[0] - sides[1]) / 2
    assert slope.item() == pytest.approx((weight.grad * step).sum().item(), rel=1e-4)


def test_the_text_we_have_steps_once_a_path(model):
    """Asyrp Alg. 2: line 18 stands below the loop over s there, so that a step is of the last L
    alone, which line 17 overwrites; the released code and this one take a step at every s. The
    last time's slope is 2 % of the sum over the three.
    """
    task, x_T = task_of(model, [(1, 400)]), noise(2)
    weights, slopes = list(task.parameters().values()), []
    for place in range(task.places):
        loss, _ = task.loss((x_T, []), Draws(0, 2 * place, 2))
        found = torch.autograd.grad(loss, weights)
        slopes.append(torch.cat([one.flatten() for one in found]))
        task.end_step()
    assert len(slopes) == 3
    printed, ours = slopes[-1], torch.stack(slopes).sum(0)
    assert 0.01 * ours.norm() < printed.norm() < 0.03 * ours.norm()


def run(model, pairs, out, steps=6, **changes):
    task = task_of(model, pairs, out, steps=steps, **changes)
    here = ranks()
    stream = Trajectories(noise(5), 2, task.places, 0, here.rank, here.world)
    Descent(task, stream, task.settings, torch.device("cpu")).run()
    return {name: weight.detach().clone() for name, weight in task.parameters().items()}


@pytest.mark.parametrize("layer", ["down.0", "up.1", "eps"])
def test_losses_at_another_layer(model, layer):
    """Asyrp Eq. 7, Asyrp Sec. 3.2, Asyrp Sec. D.3: of the first time, a hook puts the shift."""
    task, x_T = task_of(model, [(1, 700)], layer=layer, kind="table"), noise(2)
    one, t, now = task.learnings[0], 1000, torch.tensor([1000, 1000])
    torch.manual_seed(4)
    h, _ = shiftable(model, x_T, now, layer=layer)
    table = DirectionTable([t], 0.02 * torch.randn(1, *h.shape[1:]).double())
    task.learnings = [replace(one, direction=table)]
    found, _ = task.loss((x_T, []), Draws(0, 0, 2))

    def predicted(delta):
        def shift(h):
            return 0 * h if layer == "eps" or delta is None else delta.expand_as(h)

        eps, _ = hooked(model, "in" if layer == "eps" else layer, shift, x_T, now, None)
        eps = eps + delta if layer == "eps" and delta is not None else eps
        a = model.schedule.alpha_bar[t]
        return ((x_T - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)

    P, P_edit = predicted(None), predicted(table.shifts.detach()[0])
    change = task.judge.images(P_edit) - task.judge.images(P)
    cosine = torch.cosine_similarity(change, (one.texts[1] - one.texts[0])[None])
    apart = (P_edit - P).abs().flatten(1).mean(1)
    wanted = (one.clip_weight * (1 - cosine) + one.recon_weight * apart).mean()
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-7)
    assert apart.min() > 1e-7


def test_together_is_as_alone_and_stopped_is_as_whole(model, tmp_path):
    """Attributes do not touch each other; a run stopped half way down a path goes on to the bit."""
    whole = run(model, [(1, 700), (2, 700)], tmp_path / "whole")
    for seed in (1, 2):
        alone = run(model, [(seed, 700)], tmp_path / f"{seed}")
        for name, weight in alone.items():
            torch.testing.assert_close(weight, whole[name], rtol=1e-9, atol=1e-11)
    run(model, [(1, 700), (2, 700)], tmp_path / "cut", steps=3)
    resumed = run(model, [(1, 700), (2, 700)], tmp_path / "cut", resume=True)
    for name, weight in whole.items():
        assert torch.equal(resumed[name], weight), name


def test_two_ranks_are_one_and_one_goes_on_for_two(model, tmp_path):
    """Stopped by two ranks half way down a path, and taken up by one: the weights of one alone."""
    pairs = [(1, 700), (2, 400)]
    together(2, partial(run, model, pairs, tmp_path / "two", steps=4))
    found = run(model, pairs, tmp_path / "two", resume=True)
    assert_close(run(model, pairs, tmp_path / "one"), found, 1e-9)


def test_the_grid_has_each_image_before_its_edits(model):
    task = task_of(model, [(1, 700), (2, 700)])
    with torch.no_grad():
        found = task.sample_grid()
    assert found.shape == (6, 3, 16, 16)
    same = [torch.equal(found[0], found[i]) for i in (1, 2)]
    assert same == [False, False]
