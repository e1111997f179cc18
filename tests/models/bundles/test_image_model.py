"""Image models without text: the paper's time, learned variance, the bottleneck, files."""

from dataclasses import replace

import pytest
import torch

from latentgeo.core.parameterization import eps_from_v
from latentgeo.models.adm_layers import ADMConfig
from latentgeo.models.bundles.image_config import ImageDefaults, ImageModelConfig, ScheduleConfig
from latentgeo.models.bundles.image_model import (
    ImageModel,
    empty_image_model,
    load_own_folder,
    new_image_model,
    save_image_model,
)
from latentgeo.models.bundles.presets_images import LDM_PRESETS, VQ_PRESETS
from latentgeo.models.ddpm_unet import DDPMConfig

CONFIGS = {
    "ddpm": ImageModelConfig(
        name="ddpm",
        unet=DDPMConfig(channels=(8, 12, 20), attention=(False, True, False), groups=4),
        sampling=ImageDefaults(size=12, steps=5),
    ),
    "adm": ImageModelConfig(
        name="adm",
        unet=ADMConfig(
            base=8,
            channels=(8, 12),
            attention=(False, True),
            blocks=1,
            head_width=4,
            groups=4,
            classes=5,
        ),
        schedule=ScheduleConfig(kind="cosine", T=400),
        sampling=ImageDefaults(size=10, steps=5, variance="learned"),
    ),
    "ldm": ImageModelConfig(
        name="ldm",
        unet=LDM_PRESETS["tiny"],
        autoencoder=VQ_PRESETS["tiny"],
        schedule=ScheduleConfig(kind="scaled_linear", start=0.0015, end=0.0195),
        sampling=ImageDefaults(size=24, steps=5, clip=False),
    ),
}
each = pytest.mark.parametrize("name", CONFIGS)


def made(config: ImageModelConfig) -> ImageModel:
    """Return a model in which no two tensors of one shape are equal."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_image_model(config)
        for module in model.modules.values():
            for parameter in module.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def same(one: ImageModel, other: ImageModel) -> bool:
    """Whether two models are equal to the last bit, configuration included but for the name."""
    states = [(m.state_dict(), other.modules[part].state_dict()) for part, m in one.modules.items()]
    return (
        one.modules.keys() == other.modules.keys()
        and all(a.keys() == b.keys() for a, b in states)
        and all(equal(value, b[key]) for a, b in states for key, value in a.items())
        and replace(one.config, name="") == replace(other.config, name="")
    )


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def inputs(model: ImageModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, *model.shape, generator=generator)
    labels = None if model.config.classes is None else torch.tensor([4, 1])
    return x, torch.tensor([1, 371]), labels


@each
def test_the_network_is_called_a_step_earlier(name):
    """The paper's t is the network's index t - 1, and what is learned of the variance is cut."""
    model = made(CONFIGS[name])
    x, t, labels = inputs(model)
    given = () if labels is None else (labels,)
    output = model.unet(x, t - 1, *given)
    assert torch.equal(model.raw(labels)(x, t), output)
    assert torch.equal(model.predict(labels)(x, t), output[:, :3])
    assert output.shape[1] == (6 if name == "adm" else 3)


@each
def test_the_bottleneck_can_be_taken_out_and_put_back(name):
    model = made(CONFIGS[name])
    x, t, labels = inputs(model)
    h, skips = model.encode_h(x, t, labels)
    torch.testing.assert_close(model.decode_h(h, skips, t, labels), model.predict(labels)(x, t))
    assert not torch.allclose(model.decode_h(h + 1, skips, t, labels), model.predict(labels)(x, t))


def test_a_network_of_another_kind_predicts_noise_all_the_same():
    model = made(replace(CONFIGS["ddpm"], prediction="v"))
    x, t, _ = inputs(model)
    wanted = eps_from_v(model.schedule, x, model.unet(x, t - 1), t)
    torch.testing.assert_close(model.predict()(x, t), wanted)


@each
def test_images_and_what_is_diffused(name):
    model = made(CONFIGS[name])
    x = torch.rand(2, 3, *[CONFIGS[name].sampling.size] * 2) * 2 - 1
    x_0 = model.encode(x)
    assert x_0.shape[1:] == model.shape
    images = model.decode(x_0)
    assert images.shape == x.shape and images.abs().max() <= 1
    assert torch.equal(images, x) == (name != "ldm")
    assert torch.equal(model.decode(3 * x_0), model.decode(3 * x_0).clamp(-1, 1))


def test_labels_are_wanted_of_classes_only():
    model, plain = made(CONFIGS["adm"]), made(CONFIGS["ddpm"])
    with pytest.raises(ValueError, match=r"labels: got none, wanted \(B,\) of 5"):
        model.predict()
    with pytest.raises(ValueError, match=r"labels: got \(2,\), wanted none"):
        plain.predict(torch.tensor([1, 2]))


@each
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_our_folder_there_and_back(name, dtype, tmp_path):
    model = made(CONFIGS[name])
    folder = save_image_model(model, tmp_path / "m", dtype)
    back = load_own_folder(folder, dtype=None)
    assert same(back, model.to("cpu", dtype or torch.float32))
    assert not any(p.requires_grad for m in back.modules.values() for p in m.parameters())
    wide = load_own_folder(folder, dtype=torch.float64)
    assert (wide.dtype, wide.device.type) == (torch.float64, "cpu")


def test_what_is_missing_or_wrong_is_named(tmp_path):
    folder = save_image_model(made(CONFIGS["ldm"]), tmp_path)
    (folder / "autoencoder.safetensors").rename(folder / "other")
    with pytest.raises(FileNotFoundError, match=r"autoencoder\.safetensors"):
        load_own_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is no JSON"):
        load_own_folder(folder)
    with pytest.raises(FileNotFoundError, match=r"no model at .*gone"):
        load_own_folder(tmp_path / "gone")


def test_an_empty_model_has_no_weights_and_its_schedule():
    model = empty_image_model(CONFIGS["adm"])
    assert all(p.is_meta for p in model.unet.parameters())
    assert model.schedule.T == 400 and model.schedule.beta.device.type == "cpu"
