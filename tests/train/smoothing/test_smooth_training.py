"""Smooth-LoRA training: the objective, its statistic, and what a run leaves behind."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from latentgeo.core.parameterization import Kind
from latentgeo.core.precision import norms
from latentgeo.core.run.main import main
from latentgeo.core.smooth import regularizer
from latentgeo.models.bundles.text_to_image import TextToImage, new_bundle, save_bundle
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.models.lora.adapter import attach, detach, load_lora
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.latents import moments
from latentgeo.train.loop.log import read_log
from latentgeo.train.loop.task import Batch
from latentgeo.train.smoothing import smooth as training
from latentgeo.train.smoothing.settings import TrainSmooth
from latentgeo.train.smoothing.smooth import SmoothTask, direction_of
from latentgeo.train.smoothing.smooth import train as train_smooth
from tests.models.formats.conftest import TINY as FOREIGN

CPU = torch.device("cpu")


def make_task(bundle: TextToImage, **changes: Any) -> SmoothTask:
    """Return a task on a float64 model whose LoRA is not zero."""
    bundle.to("cpu", torch.float64)
    torch.manual_seed(5)
    attach(bundle.unet, 2)
    task = SmoothTask(bundle, TrainSmooth(out=Path("unused"), rank=2, **changes), [], CPU)
    for weight in task.parameters().values():
        weight.data.normal_(0, 0.3)
    return task


def make_batch(bundle: TextToImage, count: int) -> Batch:
    images = torch.rand(count, 3, 8, 8, dtype=torch.float64) * 2 - 1
    return moments(bundle.vae, images), [f"disc {i}" for i in range(count)]


def predict_one(
    bundle: TextToImage, bar: Tensor, z_0: Tensor, t: int, context: Tensor, eps: Tensor
) -> tuple[Tensor, Tensor]:
    """Return x̂_0 (n,) and the error (C, h, w) of one sample's output, from the definitions."""
    cos, sin = bar.sqrt(), (1 - bar).sqrt()
    x_t = cos * z_0 + sin * eps
    out = bundle.unet(x_t[None], torch.tensor([t - 1]), context[None])[0]
    if bundle.config.prediction == "v":  # the derivative of x_t in the angle, -sin z_0 + cos ε
        return (cos * x_t - sin * out).flatten(), out - (cos * eps - sin * z_0)
    return ((x_t - sin * out) / cos).flatten(), out - eps


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_objective_from_the_full_jacobian(tiny: TextToImage, kind: Kind) -> None:
    """Smooth Eq. 9, Smooth Eq. 14: v from the whole J; a is the batch's mean of v."""
    tiny.config = replace(tiny.config, prediction=kind)
    task = make_task(tiny, reg_weight=0.7)
    batch, schedule = make_batch(tiny, 3), tiny.schedule
    loss, terms = task.loss(batch, Draws(1, 20, 3))
    draws = Draws(1, 20, 3)
    draws.chance(0.0)  # whether the caption is dropped
    mean, std = batch[0].double().chunk(2, dim=1)
    z_0 = mean + std * draws.normal_like(mean)
    t = draws.integers(1, 1000)
    eps, normal = draws.normal_like(z_0), draws.normal_like(z_0)
    bars, context = schedule.alpha_bar[t], tiny.encode_text(batch[1])
    base, v = [], []
    for i, bar in enumerate(bars):
        predicted = partial(predict_one, tiny, bar, z_0[i], int(t[i]), context[i])
        jacobian = torch.autograd.functional.jacobian(lambda e, p=predicted: p(e)[0], eps[i])
        direction = normal[i].flatten() / normal[i].norm()
        v.append((1 - bar).sqrt() * (jacobian.flatten(1).T @ direction).norm())
        base.append(predicted(eps[i])[1].square().mean())
    a = sum(v) / 3  # a after one update is that batch's mean
    reg = sum((x - a) ** 2 for x in v) / 3
    assert float(terms["a"]) == pytest.approx(a.item(), rel=1e-10)
    assert float(terms["reg"]) == pytest.approx(reg.item(), rel=1e-9)
    assert loss.item() == pytest.approx((sum(base) / 3 + 0.7 * reg).item(), rel=1e-10)


def gradients(task: SmoothTask, batch: Batch) -> list[Tensor]:
    loss, _ = task.loss(batch, Draws(1, 0, len(batch[1])))
    return list(torch.autograd.grad(loss, list(task.parameters().values())))


def test_central_difference_has_the_exact_routes_gradient(tiny: TextToImage) -> None:
    """Smooth Eq. 10: the tolerance is the difference's own error, h² = 4e-11 relative."""
    task, batch = make_task(tiny), make_batch(tiny, 2)
    exact = gradients(task, batch)
    task = SmoothTask(tiny, replace(task.settings, route="central-difference"), [], CPU)
    for one, other in zip(exact, gradients(task, batch), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-8)


def test_the_forward_route_is_exact(tiny: TextToImage) -> None:
    """Smooth Eq. 10: reverse over forward has the gradient of double backward."""
    task, batch = make_task(tiny), make_batch(tiny, 2)
    settings = replace(task.settings, route="reverse-over-forward")
    other = gradients(SmoothTask(tiny, settings, [], CPU), batch)
    for one, two in zip(gradients(task, batch), other, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-9, atol=1e-11)


def test_the_forward_route_is_right_where_torch_is_wrong(tiny: TextToImage) -> None:
    """Smooth Eq. 10: nor does torch's own LayerNorm, wrong in forward mode, lead it astray."""
    for norm in [m for m in tiny.unet.modules() if isinstance(m, nn.LayerNorm)]:
        norm.__class__ = nn.LayerNorm
    test_the_forward_route_is_exact(tiny)


def test_in_bfloat16_the_penalty_is_not(tiny: TextToImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Smooth Eq. 9: only the network computes in 16 bits; v, a and (v - a)² have 32 and more."""
    task = make_task(tiny)
    batch = make_batch(tiny, 3)
    tiny.to("cpu", torch.float32)
    seen: dict[str, Tensor] = {}

    def noting(v: Tensor, a: Tensor) -> Tensor:
        seen.update(v=v.detach(), a=a)
        return regularizer(v, a)

    monkeypatch.setattr(training, "regularizer", noting)
    for route in ("double-backward", "reverse-over-forward", "central-difference"):
        task.settings = replace(task.settings, route=route, dtype="bf16")  # type: ignore[arg-type]
        with torch.autocast("cpu", torch.bfloat16):
            raw = tiny.raw(tiny.encode_text(["a"]))(torch.zeros(1, 4, 4, 4), torch.tensor([5]))
            loss, terms = task.loss(batch, Draws(1, 0, 3))
        assert raw.dtype == torch.bfloat16 and loss.dtype == torch.float32
        assert seen["v"].dtype == torch.float32 and seen["a"].dtype == torch.float64
        exact = (seen["v"].double() - seen["a"]).square().mean()
        assert float(terms["reg"]) == pytest.approx(exact.item(), rel=1e-5)  # 2⁻⁸ in bfloat16
        gradients = torch.autograd.grad(loss, list(task.parameters().values()))
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def test_a_of_every_timestep_is_its_own(tiny: TextToImage) -> None:
    """Smooth Eq. 9, per timestep: at the first visit of a t, a is v itself and nothing is paid."""
    task = make_task(tiny, statistic="per-timestep")
    _, terms = task.loss(make_batch(tiny, 3), Draws(1, 0, 3))
    draws = Draws(1, 0, 3)
    draws.chance(0.0)
    draws.normal_like(torch.zeros(3, 4, 4, 4, dtype=torch.float64))  # of the posterior
    times = draws.integers(1, 1000)
    task.end_step()
    assert len(set(times.tolist())) == 3 and float(terms["reg"]) < 1e-20
    assert (task.mean.count.nonzero().flatten() + 1).tolist() == sorted(times.tolist())
    with pytest.raises(ValueError, match="ranges: got 1, but the checkpoint has 1000"):
        make_task_like(task, statistic="global").load_state(task.state())


def make_task_like(task: SmoothTask, **changes: Any) -> SmoothTask:
    return SmoothTask(task.bundle, replace(task.settings, **changes), [], CPU)


def test_only_the_adapter_is_trained(tiny: TextToImage) -> None:
    task = make_task(tiny)
    names = task.parameters()
    adapted = [n for n in dict(tiny.unet.named_modules()) if n.endswith(("to_q", "to_k", "to_v"))]
    assert names and all(".lora." in name for name in names)
    assert len(names) == 2 * (len(adapted) + len(adapted) // 3)  # A and B of q, k, v and out
    assert not any(w.requires_grad for m in (tiny.vae, tiny.text) for w in m.parameters())


def test_a_moves_once_per_step_and_survives_a_checkpoint(tiny: TextToImage) -> None:
    """Smooth Eq. 9: two parts of a step are one update, by the mean over all their samples."""
    task, batch = make_task(tiny), make_batch(tiny, 2)
    values = []
    for first in (0, 2, 4, 6):  # two steps of two parts
        _, terms = task.loss(batch, Draws(1, first, 2))
        values.append(float(terms["v"]))
        if first in (2, 6):
            bins = task.end_step()
    steps = [sum(values[:2]) / 2, sum(values[2:]) / 2]
    raw = 0.01 * steps[0] * 0.99 + 0.01 * steps[1]
    assert task.mean.count.tolist() == [2]
    assert task.mean.raw.item() == pytest.approx(raw, rel=1e-12)
    assert set(bins) <= {f"v_{100 * i + 1}_{100 * i + 100}" for i in range(10)} and bins
    other = SmoothTask(tiny, task.settings, [], CPU)
    other.load_state(task.state())
    assert torch.equal(other.mean.raw, task.mean.raw) and other.mean.count.tolist() == [2]
    ranged = SmoothTask(tiny, replace(task.settings, ranges=4), [], CPU)
    with pytest.raises(ValueError, match="ranges: got 4, but the checkpoint has 1"):
        ranged.load_state(task.state())


def test_directions() -> None:
    """Smooth Eq. 9: unit length; the released code's N(0, I / n) only on average."""
    like = torch.zeros(400, 2, 3, 5, dtype=torch.float64)
    normal = Draws(0, 0, 400).normal_like(like)
    rough = Draws(0, 0, 4).normal_like(torch.zeros(4, 3, 64, 64, dtype=torch.bfloat16))
    half = direction_of(rough, "unit")
    torch.testing.assert_close(norms(half), torch.ones(4), rtol=5e-4, atol=0)
    unit = direction_of(normal, "unit").flatten(1).norm(dim=1)
    torch.testing.assert_close(unit, torch.ones_like(unit))
    official = direction_of(normal, "official").flatten(1).square().sum(dim=1)
    assert official.std() > 0.1 and abs(official.mean() - 1) < 0.05  # 4 standard errors: 0.052


def smooth(tmp_path: Path, pictures: Path, out: str, **more: object) -> Path:
    """Train two tiny steps and return the adapter's file."""
    common = {"model": str(tmp_path / "model"), "data": str(pictures), "out": tmp_path / out}
    small = {"steps": 2, "batch": 4, "accumulate": 1, "rate": 0.01, "samples": 1, "device": "cpu"}
    train_smooth(TrainSmooth(**{**common, **small, **more}))  # type: ignore[arg-type]
    return tmp_path / out / "smooth_lora.safetensors"


def test_targets_choose_the_layers(tmp_path: Path, pictures: Path, tiny: TextToImage) -> None:
    """Smooth Sec. 4.1: attention projections alone, unless other layers are asked for."""
    save_bundle(tiny, tmp_path / "model")
    state = load_file(smooth(tmp_path, pictures, "paper", rank=2))
    assert state and all(".attn1.to_" in key or ".attn2.to_" in key for key in state)
    state = load_file(smooth(tmp_path, pictures, "all", rank=2, targets=("*",)))
    linear = [m for m in tiny.unet.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(state) == 2 * len(linear)
    with pytest.raises(ValueError, match=r"targets: target 'nothing\*' matches no linear"):
        smooth(tmp_path, pictures, "none", targets=("nothing*",))


def foreign_model(tmp_path: Path, layout: str) -> Path:
    """Write a small model of Stable Diffusion's kind as another program would."""
    kind: Kind = "v" if layout == "diffusers" else "eps"
    torch.manual_seed(3)
    save_bundle(new_bundle(replace(FOREIGN, prediction=kind)), tmp_path / "ours")
    folder = tmp_path / ("theirs" if layout == "diffusers" else "one.safetensors")
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to", str(folder)]) == 0
    assert load_text_to_image(folder).config.prediction == kind
    return folder


@pytest.mark.parametrize("layout", ["diffusers", "ldm"])
def test_any_layout_is_trained_and_the_adapter_fits_it(
    tmp_path: Path, pictures: Path, layout: str
) -> None:
    """A model of Stable Diffusion's kind in another program's layout; v-prediction, recomputed."""
    folder = foreign_model(tmp_path, layout)
    out = smooth(tmp_path, pictures, "run", model=str(folder), size=16, checkpoint_activations=True)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert any(str(folder) in name for name in record["hashes"])
    load_text_to_image(folder, lora=out)


def test_training_goes_on_from_a_file(tmp_path: Path, pictures: Path, tiny: TextToImage) -> None:
    """Smooth Sec. 4.1: at a rate too small to matter the weights stay those of the file."""
    save_bundle(tiny, tmp_path / "model")
    first = smooth(tmp_path, pictures, "first", rank=3)
    again = load_file(smooth(tmp_path, pictures, "again", lora=str(first), rate=1e-12))
    for key, weight in load_file(first).items():
        torch.testing.assert_close(again[key], weight, msg=key)


def test_a_run_leaves_a_lora_that_loads(tmp_path: Path, pictures: Path, tiny: TextToImage) -> None:
    save_bundle(tiny, tmp_path / "model")
    out = tmp_path / "run"
    train_smooth(
        TrainSmooth(
            model=str(tmp_path / "model"),
            data=str(pictures),
            out=out,
            steps=2,
            batch=4,
            accumulate=2,
            rank=2,
            rate=0.01,
            samples=2,
            cache_latents=False,
            log_every=1,
            device="cpu",
        )
    )
    for record in read_log(out / "log.jsonl"):
        whole = record["base"] + record["reg"]
        assert record["loss"] == pytest.approx(whole, rel=1e-5)
        assert any(name.startswith("v_") for name in record)
    made = json.loads((out / "smooth_lora.json").read_text())
    assert made["reg_weight"] == 1.0 and made["running_mean"]["count"] == [2]
    record = json.loads((out / "run.json").read_text())
    assert record["seed"] == 0 and len(record["hashes"]) == 4  # three weight files and the data
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), tiny.encode_text(["a", "b"])
    before = tiny.unet(x, t, context)
    load_lora(tiny.unet, out / "smooth_lora.safetensors")
    assert not torch.equal(tiny.unet(x, t, context), before)
    with_lora = load_text_to_image(tmp_path / "model", lora=out / "smooth_lora.safetensors")
    torch.testing.assert_close(with_lora.unet(x, t, context), tiny.unet(x, t, context))
    detach(tiny.unet)
    assert torch.equal(tiny.unet(x, t, context), before)
