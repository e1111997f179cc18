"""Semantic editing: Alg. 1 written out, DDIM where nothing acts, phases, averages, cost."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core.schedule import batch_time
from latentgeo.infer.sampling.unprompted import denoiser_of, eps_of
from latentgeo.infer.semantic.editing import (
    Attribute,
    Editing,
    averaged,
    edit,
    editing_times,
    everywhere,
    semantic_step,
)
from latentgeo.models.bundles.delta_h import GlobalDirection, embedding, new_direction
from tests.models.bundles.test_image_model import CONFIGS, made

each = pytest.mark.parametrize("name", CONFIGS)


def given(name, kind=torch.float64, count=3, **changes):
    """A model, noise and labels if it has classes."""
    model = made(replace(CONFIGS[name], **changes)).to("cpu", kind)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *model.shape, generator=generator, dtype=kind)
    return model, x, None if model.config.classes is None else torch.tensor([1, 4, 0])[:count]


def attribute(model, seed, t_edit, S=7):
    """An f_t whose shifts are of h's own size."""
    torch.manual_seed(seed)
    direction = new_direction(model)
    for weight in direction.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    return Attribute(direction=direction.requires_grad_(False), t_edit=t_edit, S=S)


def drawing(seed=5):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


@each
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_scale_or_a_shift_of_zero_is_ddim(name, kind):
    """Asyrp Eq. 9: to the bit, whether nothing acts, or what acts is 0; and so is no attribute."""
    model, x, labels = given(name, kind)
    visited = editing_times(model.schedule, 5)
    wanted = ddim.sample(
        lambda x, t: denoiser_of(model, labels)(x, t)[0], model.schedule, x, visited
    )
    h, _ = model.encode_h(x, batch_time(9, x), labels)
    none = Attribute(direction=GlobalDirection(torch.zeros_like(h[0])), t_edit=100, S=3)
    with torch.no_grad():
        for one, scale in ((attribute(model, 0, 100), 0.0), (none, 1.0)):
            editing = Editing(attributes=[one], scales=torch.full((3, 1), scale))
            assert torch.equal(edit(model, x, editing, visited, labels=labels), wanted)
        nothing = Editing(attributes=[], scales=torch.zeros(3, 0))
        assert torch.equal(edit(model, x, nothing, visited, labels=labels), wanted)


def by_hand(model, x, parts, visited, t_boost, labels, draw):
    """Asyrp Alg. 1, lines 9 to 30: one sample, ᾱ as plain numbers, the network's own output.

    Where its phases overlap, the first `if` that holds is what is done.
    """
    bars, config = model.schedule.alpha_bar, model.config

    def eps_of(output, x, t):
        a, output = bars[t], output[:, : x.shape[1]]
        if config.prediction == "v":
            output = a.sqrt() * output + (1 - a).sqrt() * x
        if config.sampling.clip:
            P = ((x - (1 - a).sqrt() * output) / a.sqrt()).clamp(-1, 1)
            output = (x - a.sqrt() * P) / (1 - a).sqrt()
        return output

    given = () if labels is None else (labels,)
    for t, t_prev in pairwise(visited):
        tau, (a, b) = torch.tensor([t - 1]), (bars[t], bars[t_prev])
        h, skips = model.unet.encode(x, tau, *given)
        eps = shifted = eps_of(model.unet.decode(h, skips, tau, *given), x, t)
        sigma = torch.zeros(())
        acting = [(f, c, S) for f, c, S, t_edit in parts if t >= t_edit]
        boosts = not acting and t < t_boost
        if boosts:
            sigma = ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        elif acting:
            temb = embedding(model, torch.tensor([t]), labels)
            delta = sum(
                S / (len(visited) - 1) * c * f(h, temb, torch.tensor([t])) for f, c, S in acting
            )
            shifted = eps_of(model.unet.decode(h + delta, skips, tau, *given), x, t)
        P = (x - (1 - a).sqrt() * shifted) / a.sqrt()
        x = b.sqrt() * P + (1 - b - sigma**2).clamp(min=0).sqrt() * eps
        x = x + sigma * draw() if boosts else x
    return x


@each
@pytest.mark.parametrize("prediction", ["eps", "v"])
@torch.no_grad()
def test_the_whole_process_as_printed(name, prediction):
    """Asyrp Alg. 1, Asyrp Eq. 9: two attributes, signs, S/S̃, boosting, sample by sample; the
    second still acts at a time below t_boost, where there is no noise yet.
    """
    model, x, labels = given(name, prediction=prediction)
    T = model.schedule.T
    visited = editing_times(model.schedule, 5)
    attributes = [attribute(model, 1, T // 2), attribute(model, 2, T // 4, S=3)]
    assert any(T // 4 <= t < T // 3 for t in visited)
    scales = torch.tensor([[1.0, 0.5], [-2.0, 0.0], [0.0, 0.7]], dtype=torch.float64)
    editing = Editing(attributes=attributes, scales=scales, t_boost=T // 3)
    draw, drawn = drawing(), []

    def kept(x):
        drawn.append(draw(x))
        return drawn[-1]

    found = edit(model, x, editing, visited, kept, labels)
    assert len(drawn) == sum(t < T // 4 for t in visited[:-1])
    for i in range(3):
        parts = [
            (one.direction, c, one.S, one.t_edit)
            for one, c in zip(attributes, scales[i], strict=True)
        ]
        noises = iter(drawn)
        wanted = by_hand(
            model,
            x[i : i + 1],
            parts,
            visited,
            T // 3,
            None if labels is None else labels[i : i + 1],
            lambda i=i, noises=noises: next(noises)[i : i + 1],
        )
        torch.testing.assert_close(found[i : i + 1], wanted, rtol=1e-7, atol=1e-7)
    plain = edit(model, x, replace(editing, scales=0 * scales), visited, drawing(), labels)
    assert (found - plain).abs().max() > 1e-5  # clipping may hide it in a sample of noise


@torch.no_grad()
def test_noise_is_drawn_below_t_boost_alone_and_each_state_is_told():
    """Asyrp Alg. 1, Asyrp Sec. H: t ≥ t_boost has none, a time that is visited at t_boost
    itself neither.
    """
    model, x, _ = given("ddpm")
    visited, told, draw = editing_times(model.schedule, 5), [], drawing()
    editing = Editing(attributes=[], scales=torch.zeros(3, 0), t_boost=visited[2])
    drawn = []
    found = edit(
        model, x, editing, visited,
        lambda x: drawn.append(1) or draw(x), None, lambda t, x: told.append((t, x)),
    )  # fmt: skip
    assert len(drawn) == 2
    assert [t for t, _ in told] == list(visited[1:]) and torch.equal(told[-1][1], found)


@torch.no_grad()
def test_samples_of_one_batch_at_their_own_times():
    """Asyrp Eq. 9: mixed t in a batch give what each gives alone."""
    model, x, _ = given("ddpm")
    one = attribute(model, 1, 500)
    t, t_prev = torch.tensor([900, 450, 100]), torch.tensor([850, 400, 3])
    scales, noise = torch.tensor([[1.0], [1.0], [-1.0]]), drawing()(x)
    editing = Editing(attributes=[one], scales=scales, t_boost=200)
    found = semantic_step(model, x, t, t_prev, editing, 5, noise)
    for i in range(3):
        part = slice(i, i + 1)
        alone = replace(editing, scales=scales[part])
        wanted = semantic_step(model, x[part], t[part], t_prev[part], alone, 5, noise[part])
        torch.testing.assert_close(found[part], wanted)


@torch.no_grad()
def test_a_shift_in_both_terms_is_ddim_of_a_shifted_network():
    """Asyrp Thm. 1: the symmetric process, beside DDIM's sampling with ε(x_t | Δh)."""
    model, x, _ = given("ddpm")
    one, visited = attribute(model, 1, 1), editing_times(model.schedule, 5)

    def shifted(x, t):
        h, skips = model.encode_h(x, t)
        h = h + 7 / 5 * one.direction(h, embedding(model, t), t)
        return eps_of(model, x, model.decode_h(h, skips, t), t)

    editing = Editing(attributes=[one], scales=torch.ones(3, 1), both=True)
    found = edit(model, x, editing, visited)
    torch.testing.assert_close(found, ddim.sample(shifted, model.schedule, x, visited))
    assert not torch.allclose(edit(model, x, replace(editing, both=False), visited), found)


@torch.no_grad()
def test_the_decoder_runs_twice_only_where_something_acts(monkeypatch):
    model, x, _ = given("ddpm", count=3)
    runs = Counter()
    decode = model.unet.decode

    def counted(h, skips, t, **named):
        runs[int(t[0]) + 1] += len(h)
        return decode(h, skips, t, **named)

    monkeypatch.setattr(model.unet, "decode", counted)
    visited = editing_times(model.schedule, 5)
    scales = torch.tensor([[1.0], [0.0], [-1.0]])
    editing = Editing(attributes=[attribute(model, 1, 200)], scales=scales, t_boost=500)
    for overlap, acts in (("printed", 200), ("released", 200), ("boosted", 500)):
        runs.clear()
        edit(model, x, replace(editing, overlap=overlap), visited, drawing())
        assert runs == {t: 3 + 2 * (t >= acts) for t in visited[:-1]}


@torch.no_grad()
def test_mean_and_global_shifts_are_those_of_the_edits():
    """Asyrp Sec. 5.3a: Δh_t^mean over samples at each editing time, Δh^global over times too."""
    model, x, _ = given("ddpm")
    one, visited, seen = attribute(model, 1, 400), editing_times(model.schedule, 5), []

    def watched(h, temb, t):
        seen.append(one.direction(h, temb, t))
        return seen[-1]

    table = averaged(model, x, replace(one, direction=watched), visited)
    assert table.times.tolist() == [t for t in visited if t >= 400]
    torch.testing.assert_close(table.shifts, torch.stack(seen).mean(1))
    torch.testing.assert_close(everywhere(table).shift, torch.stack(seen).mean((0, 1)))
    last = visited[2]
    table = averaged(model, x, replace(one, t_edit=last), visited)
    assert table.times.tolist() == list(visited[:3])
    seen.clear()
    watching = replace(one, direction=watched, t_edit=last)
    edit(model, x, Editing(attributes=[watching], scales=torch.ones(3, 1)), visited)
    torch.testing.assert_close(table.shifts, torch.stack(seen).mean(1))  # of the edit itself
    with pytest.raises(ValueError, match="t_edit: got 1001, wanted at most 1000"):
        averaged(model, x, replace(one, t_edit=1001), visited)


def test_boosting_needs_noise():
    model, x, _ = given("ddpm")
    editing = Editing(attributes=[], scales=torch.zeros(3, 0), t_boost=1)
    visited = editing_times(model.schedule, 3)
    edit(model, x, editing, visited)  # no time is below 1
    with pytest.raises(ValueError, match="draw"):
        edit(model, x, replace(editing, t_boost=2), visited)
