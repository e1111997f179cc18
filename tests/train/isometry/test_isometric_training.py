"""Training of models of images, with and without isometry: the objectives, and what runs leave."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentgeo.core.isometry import pullback
from latentgeo.core.run.main import main
from latentgeo.core.sphere import tangent
from latentgeo.infer.sampling.loading import load_model
from latentgeo.models.bundles.image_model import ImageModel, new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.load_image import load_image_model
from latentgeo.train.data.draws import Draws
from latentgeo.train.ddpm import DdpmTask
from latentgeo.train.isometry.isometric import IsometricTask
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.loop.log import read_log
from latentgeo.train.settings import TrainDdpm
from tests.waits import Waits

CPU = torch.device("cpu")
OUT = Path("unused")


@pytest.fixture
def model() -> ImageModel:
    torch.manual_seed(0)
    found = new_image_model(TRAINED_PRESETS["tiny"])
    for weight in found.unet.parameters():
        torch.nn.init.normal_(weight, std=0.2)  # also those that start at zero
    return found.to("cpu", torch.float64)


def images(count):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 3, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1
    return x, [""] * count


def traces(task, x, draws):
    """Return the traces of one probe per image at t = 900."""
    noise, probe = draws.normal_like(x), draws.normal_like(x)
    return task.traces(x, torch.tensor([900] * len(x)), noise, probe[None])


def first_time_above(limit, count, p):
    """Return the number of a sample whose stream's second time lies so."""
    for first in range(0, 100 * count, count):
        draws = Draws(0, first, count)
        draws.integers(1, 1000)
        draws.normal((3, 4, 4), torch.zeros(1, dtype=torch.float64))
        if (int(draws.integers(1, 1000)[0]) > limit) == p:
            return first
    raise AssertionError


def test_denoising_from_the_definition(model):
    """DDPM Eq. 14: the mean over images and pixels of (ε - ε_θ)², one by one."""
    task = DdpmTask(model, TrainDdpm(out=OUT), CPU)
    x, texts = images(3)
    loss, _ = task.loss((x, texts), Draws(7, 20, 3))
    draws = Draws(7, 20, 3)
    t, eps = draws.integers(1, 1000), draws.normal_like(x)
    errors = []
    for i in range(3):
        bar = model.schedule.alpha_bar[t[i]]
        x_t = bar.sqrt() * x[i] + (1 - bar).sqrt() * eps[i]
        errors.append((eps[i] - model.unet(x_t[None], t[i : i + 1] - 1)[0]).square().mean())
    torch.testing.assert_close(loss, torch.stack(errors).mean())


def test_what_is_predicted_may_change_with_a_start(tmp_path):
    """`--prediction v` of a model of ε: the new model says so, and the loss is that of v."""
    first, then, more = tmp_path / "a", tmp_path / "b", ("--steps", "1", "--sample-every", "0")
    assert run("train-ddpm", first, *more) == 0
    assert run("train-ddpm", then, *more, "--start", str(first), "--prediction", "v") == 0
    kinds = [load_image_model(folder).config.prediction for folder in (first, then)]
    assert kinds == ["eps", "v"]
    model = load_image_model(then, dtype=torch.float64)
    task = DdpmTask(model, TrainDdpm(out=OUT), CPU)
    x = images(1)[0].repeat(1, 1, 4, 4)
    draws = Draws(7, 20, 1)
    t, eps = draws.integers(1, 1000), draws.normal_like(x)
    bar = model.schedule.alpha_bar[t[0]]
    v = bar.sqrt() * eps - (1 - bar).sqrt() * x
    raw = model.unet(bar.sqrt() * x + (1 - bar).sqrt() * eps, t - 1)
    part = task.stage((x, [""]), Draws(7, 20, 1))
    torch.testing.assert_close(task.denoising(part), (v - raw).square().mean())


def test_dropout_is_of_the_denoising_loss_alone(model):
    """Iso Eq. 6: J is one map's, whatever the preset drops; the denoising loss drops anew."""
    for module in model.unet.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    task, (x, _) = IsometricTask(model, TrainIsometric(out=OUT), CPU), images(2)
    part = task.stage((x, ["", ""]), Draws(7, 20, 2))
    assert task.denoising(part) != task.denoising(part)
    once, again = (traces(task, x, Draws(3, 0, 2)) for _ in range(2))
    assert torch.equal(once.second, again.second)


def test_times_of_both_terms_are_all_of_the_schedules(model, monkeypatch):
    """Iso Eq. 7: t uniform on 1 … T, drawn for each term."""
    asked, draws = [], Draws(0, 0, 1)
    integers = draws.integers
    monkeypatch.setattr(
        draws, "integers", lambda low, high, *rest: asked.append((low, high)) or integers(low, high)
    )
    IsometricTask(model, TrainIsometric(out=OUT), CPU).loss(images(1), draws)
    assert asked == [(1, 1000)] * 2


def test_isometry_from_the_formed_pullback(model):
    """Iso Eq. 6, Iso Eq. 7: λ E vᵀR²v / (E vᵀRv)² at one t > pT, R formed."""
    settings = TrainIsometric(out=OUT, iso_weight=0.3, p=0.5, probes=2)
    task, (x, texts) = IsometricTask(model, settings, CPU), images(2)
    first = first_time_above(500, 2, True)
    loss, terms = task.loss((x, texts), Draws(0, first, 2))
    draws = Draws(0, first, 2)
    draws.integers(1, 1000), draws.normal_like(x)
    t = draws.integers(1, 1000)[:1].expand(2)
    bar = model.schedule.alpha_bar[t[0]]
    x_t = bar.sqrt() * x + (1 - bar).sqrt() * draws.normal_like(x)
    v = torch.stack([draws.normal_like(x) for _ in range(2)])
    w = tangent(x_t, v).flatten(2)
    R = pullback(lambda y: model.encode_h(y, t)[0], x_t)
    first_trace = torch.einsum("rbi,bij,rbj->rb", w, R, w).mean()
    second = torch.einsum("bij,rbj->rbi", R, w).square().sum(2).mean()
    torch.testing.assert_close(loss, terms["base"] + 0.3 * second / first_trace**2)
    shown = task.end_step()
    assert shown["iso"] == pytest.approx((second / first_trace**2).item())
    assert shown["trace"] == pytest.approx(first_trace.item())


def test_no_isometry_up_to_pT(model):
    """Iso Eq. 7: λ_iso(p, t) = 0 for t ≤ pT."""
    task, (x, texts) = IsometricTask(model, TrainIsometric(out=OUT), CPU), images(2)
    first = first_time_above(500, 2, False)
    loss, terms = task.loss((x, texts), Draws(0, first, 2))
    assert loss.item() == terms["base"].item()
    assert loss.requires_grad and not terms["base"].requires_grad
    assert all(value.isnan() for value in task.end_step().values())


@pytest.mark.parametrize("above", [False, True])
def test_a_part_waits_for_nothing(model, above):
    """Iso Eq. 7: once it is staged, either kind is computed without a GPU being asked or told."""
    task = IsometricTask(model, TrainIsometric(out=OUT), CPU)
    part = task.stage(images(2), Draws(0, first_time_above(500, 2, above), 2))
    model.to("meta", torch.float64)
    task = IsometricTask(model, task.settings, torch.device("meta"))
    part = replace(part, tensors={name: x.to("meta") for name, x in part.tensors.items()})
    task.loss_of(part)  # the schedule's tables move once
    with Waits() as mode:
        task.loss_of(part)[0].backward()
        task.end_step()
    assert mode.operations > 100 and not mode.seen and (part.kind == "iso") is above


def test_without_a_weight_the_loss_is_only_seen(model):
    """Iso Eq. 7 with λ_iso = 0, a control: L is L_dsm, and L_iso is measured."""
    task, (x, texts) = IsometricTask(model, TrainIsometric(out=OUT, iso_weight=0.0), CPU), images(2)
    loss, terms = task.loss((x, texts), Draws(0, first_time_above(500, 2, True), 2))
    assert loss.item() == terms["base"].item() and task.end_step()["iso"] > 0


def test_isometry_moves_every_encoder_weight_and_no_other(model):
    """Iso Eq. 6: the gradient of the term alone; the decoder is not run for it."""
    settings = TrainIsometric(out=OUT, iso_weight=1.0)
    task, (x, _) = IsometricTask(model, settings, CPU), images(2)
    found = traces(task, x, Draws(0, 0, 2))
    (found.second.mean() / found.first.mean() ** 2).backward()
    constant = {"mid.block_2.conv2.bias"}  # added to h: it moves no Jacobian
    untouched = {name for name, w in task.parameters().items() if w.grad is None} - constant
    dead = {
        name
        for name, w in task.parameters().items()
        if w.grad is not None and not w.grad.abs().max() > 0
    }
    assert all(name.startswith(("up.", "norm_out", "conv_out")) for name in untouched)
    assert {name.split(".")[0] for name in untouched} == {"up", "norm_out", "conv_out"}
    assert dead <= constant


def run(command, out, *more):
    shown = ["--samples", "2", "--sample-steps", "2", "--log-every", "1", "--batch", "4"]
    return main([command, "--preset", "tiny", "--out", str(out), "--seed", "3", *shown, *more])


def test_a_run_leaves_a_model_and_its_twin_starts_from_it(tmp_path):
    assert run("train-ddpm", tmp_path / "base", "--steps", "2", "--sample-every", "2") == 0
    assert (tmp_path / "base" / "samples" / "step-00000002.png").is_file()
    start = ("--start", str(tmp_path / "base"), "--iso-weight", "0.1", "--p", "0")
    assert run("train-isometric", tmp_path / "twin", "--steps", "3", *start) == 0
    rows = read_log(tmp_path / "twin" / "log.jsonl")
    assert len(rows) == 3
    assert all(0 < row["iso"] < 1 for row in rows)
    assert load_image_model(tmp_path / "twin").shape == (3, 16, 16)


def test_a_lora_is_the_twin_of_its_base(tmp_path):
    """LoRA Sec. 4.1: the file at its scale moves h, at scale 0 the base is there; weights stay."""
    assert run("train-ddpm", tmp_path / "base", "--steps", "2", "--sample-every", "0") == 0
    words = ("--start", str(tmp_path / "base"), "--iso-weight", "0.1", "--p", "0")
    words += ("--adapter", "lora", "--rank", "2", "--steps", "3", "--ema", "0", "--rate", "0.01")
    assert run("train-isometric", tmp_path / "twin", *words) == 0
    file = tmp_path / "twin" / "isometric_lora.safetensors"
    assert file.is_file() and not (tmp_path / "twin" / "unet.safetensors").exists()
    base = load_image_model(tmp_path / "base")
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([900, 1])

    def h(lora_scale, lora=file):
        model = load_image_model(tmp_path / "base", lora=lora, lora_scale=lora_scale)
        assert {*model.unet.state_dict()} == {*base.unet.state_dict()}
        return model.encode_h(x, t)[0]

    assert torch.equal(h(0.0), base.encode_h(x, t)[0]) and torch.equal(h(1.0, None), h(0.0))
    assert (h(1.0) - h(0.0)).abs().max() > 1e-4
    with pytest.raises(FileNotFoundError, match="no LoRA at"):
        h(1.0, "elsewhere")


def test_a_model_with_text_has_a_twin_too(tmp_path, pictures, tiny):
    """Iso Eq. 7 under captions: a LoRA that `load_model` takes, and the terms in the log."""
    save_bundle(tiny, tmp_path / "model")
    words = ["--start", str(tmp_path / "model"), "--data", str(pictures), "--iso-weight", "0.1"]
    words += ["--p", "0", "--adapter", "lora", "--rank", "2", "--no-flip"]
    assert run("train-isometric", tmp_path / "twin", "--steps", "2", *words) == 0
    assert all(row["iso"] > 0 for row in read_log(tmp_path / "twin" / "log.jsonl"))
    made = load_model(f"{tmp_path}/model+{tmp_path}/twin/isometric_lora.safetensors", "cpu")
    assert made.lora == "isometric_lora.safetensors"


def test_gradient_of_a_lora_is_the_slope(model):
    """Iso Eq. 6: L_iso by finite differences in A and B of a layer of the encoder, float64."""
    settings = TrainIsometric(out=OUT, adapter="lora", rank=2, start="x")
    task, (x, _) = IsometricTask(model, settings, CPU), images(2)
    trained = task.parameters()
    assert trained and all(".lora." in name for name in trained)
    for weight in trained.values():
        torch.nn.init.normal_(weight, std=0.1)

    def loss():
        found = traces(task, x, Draws(0, 0, 2))
        return found.second.detach().mean() / found.first.detach().mean() ** 2

    found = traces(task, x, Draws(0, 0, 2))
    (found.second.mean() / found.first.mean() ** 2).backward()
    name = next(name for name in trained if name.startswith("mid.block_1.conv1"))
    for weight in (trained[name], trained[name.replace(".A.", ".B.")]):
        place, step = (0,) * weight.ndim, 1e-5
        with torch.no_grad():
            weight[place] += step
            above = loss()
            weight[place] -= 2 * step
            below = loss()
            weight[place] += step
        torch.testing.assert_close(
            weight.grad[place], (above - below) / (2 * step), rtol=1e-5, atol=1e-12
        )


def test_the_paper_is_the_default():
    """Iso Sec. 4.1a; Iso Tab. 3 and Iso Tab. I differ from it in options that are there. Clipping
    at 1 is released and not printed.
    """
    made = TrainIsometric(out=OUT)
    assert (made.batch, made.rate, made.ema, made.weight_decay) == (32, 1e-4, 0.9999, 0)
    assert (made.p, made.iso_weight, made.geometry) == (0.5, 1e-4, "sphere")
    assert made.clip == 1.0
    assert made.steps == 10 * (14_342 // 32) + 2


def test_what_cannot_be_trained_is_named(tmp_path, capsys):
    assert run("train-ddpm", tmp_path, "--steps", "2", "--preset", "ddpm-moon") == 2
    assert "preset: got 'ddpm-moon', wanted one of avatars-ddpm" in capsys.readouterr().err
    assert run("train-isometric", tmp_path, "--p", "1.5") == 2
    assert "p must be" in capsys.readouterr().err
    assert run("train-isometric", tmp_path, "--adapter", "lora") == 2
    assert "--start: got none" in capsys.readouterr().err
