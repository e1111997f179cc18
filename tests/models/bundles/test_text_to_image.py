"""Tests of the model as one object: its time shift, its files, and its errors."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.core.schedule import SCHEDULES
from latentgeo.models.bundles import text_to_image as bundles
from latentgeo.models.bundles.presets import TEXT_PRESETS, UNET_PRESETS, VAE_PRESETS
from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    SamplingDefaults,
    empty_bundle,
    load_bundle,
    new_bundle,
    save_bundle,
)
from latentgeo.models.zoo.places import ZOO

TINY = BundleConfig(
    name="tiny",
    unet=UNET_PRESETS["tiny"],
    vae=VAE_PRESETS["tiny"],
    text=TEXT_PRESETS["tiny"],
    sampling=SamplingDefaults(size=16, steps=3, guidance=2.0),
)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_bundle(new_bundle(TINY), tmp_path / "tiny")
    return tmp_path / "tiny"


def test_saved_and_loaded_is_the_same_model(folder):
    """Weights and configuration survive the disk bit for bit."""
    torch.manual_seed(0)
    fresh, loaded = new_bundle(TINY), load_bundle(folder)
    assert loaded.config == TINY
    for name, module in fresh.modules.items():
        other = loaded.modules[name].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in module.state_dict().items())
        assert not any(p.requires_grad for p in loaded.modules[name].parameters())


def test_half_precision_on_disk_loads_as_float32(folder, tmp_path):
    """fp16 files are half the size and come back as float32."""
    whole = load_bundle(folder)
    save_bundle(whole, tmp_path / "half", torch.float16)
    half = load_bundle(tmp_path / "half")
    assert half.dtype == torch.float32
    torch.testing.assert_close(
        half.unet.conv_in.weight, whole.unet.conv_in.weight, rtol=1e-3, atol=1e-4
    )


def test_predict_shifts_paper_time_once(folder):
    """The UNet sees τ = t - 1, and ε is what it returns."""
    model = load_bundle(folder)
    context = model.encode_text(["a face", ""])
    x, t = torch.randn(2, *model.latent_shape), torch.tensor([1, 1000])
    expected = model.unet(x, torch.tensor([0, 999]), context)
    torch.testing.assert_close(model.predict(context)(x, t), expected)


def test_v_prediction_is_turned_into_eps(folder):
    """ε = √ᾱ v + √(1 - ᾱ) x_t, from the definition of v by hand."""
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | {"prediction": "v"}))
    model = load_bundle(folder)
    context = model.encode_text(["a face"])
    x, t = torch.randn(1, *model.latent_shape), torch.tensor([700])
    bar = SCHEDULES["scaled_linear"]().alpha_bar[700].float()
    v = model.unet(x, t - 1, context)
    torch.testing.assert_close(model.predict(context)(x, t), bar.sqrt() * v + (1 - bar).sqrt() * x)


def test_errors_name_the_file_and_what_is_wrong(folder, tmp_path):
    """Missing folder, missing file, unknown key, wrong shapes, garbage: one clear sentence each."""
    with pytest.raises(
        FileNotFoundError,
        match=r"nowhere does not exist; wanted a model: an embedded one \(avatars, avatars-ddpm\)",
    ):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist"):
        load_bundle(tmp_path)
    state = load_file(folder / "unet.safetensors")
    save_file({k: v for k, v in state.items() if k != "conv_in.bias"}, folder / "unet.safetensors")
    with pytest.raises(ValueError, match=r"unet\.safetensors does not fit: missing conv_in\.bias"):
        load_bundle(folder)
    save_file(state | {"conv_in.bias": torch.zeros(3)}, folder / "unet.safetensors")
    with pytest.raises(ValueError, match=r"conv_in\.bias is \(3,\), wanted \(8,\)"):
        load_bundle(folder)
    (folder / "unet.safetensors").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"not a whole safetensors file"):
        load_bundle(folder)
    (folder / "unet.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"unet\.safetensors does not exist"):
        load_bundle(folder)
    data = json.loads((folder / "config.json").read_text())
    data["unet"]["chanels"] = data["unet"].pop("channels")
    (folder / "config.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"unet: unknown key 'chanels'"):
        load_bundle(folder)


def test_unknown_schedule_is_named():
    """A schedule is one of those in core.schedule."""
    with pytest.raises(ValueError, match=r"schedule must be one of .*, got 'quadratic'"):
        new_bundle(BundleConfig(**(vars(TINY) | {"schedule": "quadratic"})))


def test_embedded_names_come_before_paths():
    """A name without a folder of that name is looked for as a path."""
    assert bundles.find("avatars").parent == ZOO


def test_an_empty_model_has_shapes_and_no_weights(folder):
    """And nothing is drawn for it: the global generator stays where it is."""
    before = torch.get_rng_state()
    empty, whole = empty_bundle(TINY), load_bundle(folder)
    assert torch.equal(torch.get_rng_state(), before)
    for name, module in empty.modules.items():
        found = {key: value.shape for key, value in module.state_dict().items()}
        assert found == {k: v.shape for k, v in whole.modules[name].state_dict().items()}
        assert all(value.is_meta for value in module.state_dict().values())
    assert torch.equal(empty.schedule.alpha_bar, whole.schedule.alpha_bar)


def test_a_files_own_dtype_is_kept_on_request(folder, tmp_path):
    """Read and written without a conversion, a half-precision model stays what it is."""
    save_bundle(load_bundle(folder), tmp_path / "half", torch.float16)
    half = load_bundle(tmp_path / "half", dtype=None)
    assert half.dtype == torch.float16
    save_bundle(half, tmp_path / "again", dtype=None)
    for name in ("unet", "vae", "text"):
        one, other = (tmp_path / f / f"{name}.safetensors" for f in ("half", "again"))
        assert one.read_bytes() == other.read_bytes()
