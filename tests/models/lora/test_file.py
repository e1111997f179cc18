"""A LoRA on disk: the same model again, read by others, and files that are not one."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from latentgeo.models.lora import adapter as lora
from tests.models.lora.test_adapter import EVERYWHERE, adapted, images, net, trained


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_a_file_gives_the_same_model(tmp_path, alpha):
    """LoRA Eq. 3: output and scale survive, also with a rank of its own in one layer."""
    model = net()
    lora.attach(model, rank=2, alpha=alpha, targets=EVERYWHERE)
    state = lora.lora_state(trained(model))
    lora.detach(model)
    state["unet.head.lora_A.weight"] = torch.ones(3, 5)
    state["unet.head.lora_B.weight"] = torch.ones(7, 3)
    lora.attach_state(model, state, alpha)
    path = lora.save_lora(tmp_path / "lora.safetensors", model, notes={"base": "abc"})
    again = net()
    adapter = lora.load_lora(again, path, name="again")
    assert (adapter.alpha, adapter.ranks["head"], adapter.ranks["conv"]) == (alpha, 3, 2)
    assert torch.equal(again(images()), model(images()))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["rank"], metadata["base"]) == ("2", "abc")


def test_a_file_is_added_to_another_model_of_its_shape(tmp_path):
    """SmoothS Sec. B: every adapted weight moves by s BA, whatever weights were there."""
    model, other = net(), net()
    lora.attach(model, rank=2, alpha=3, targets=("conv", "attn1.*"))
    path = lora.save_lora(tmp_path / "lora.safetensors", trained(model))
    before = {name: 3 * weight.clone() for name, weight in other.state_dict().items()}
    other.load_state_dict(before)
    lora.merge(model)
    lora.load_lora(other, path)
    lora.merge(other)
    moved = [name for name, _ in lora.updated(model, lora.DEFAULT).items()]
    own = lora.base_state(net())
    for name in moved:
        added = model.get_submodule(name).weight - own[f"{name}.weight"]
        theirs = other.get_submodule(name).weight - before[f"{name}.weight"]
        torch.testing.assert_close(theirs, added, rtol=1e-12, atol=1e-12)
        assert added.abs().max() > 1e-3
    assert len(moved) > 1


def test_peft_reads_the_file_with_the_same_output(tmp_path):
    """LoRA Eq. 3: the package peft, configured by our metadata, computes the same output."""
    peft = pytest.importorskip("peft")
    model, base = net(), net()
    model.conv.padding_mode = base.conv.padding_mode = "zeros"  # peft knows no other
    lora.attach(model, rank=2, alpha=3, targets=("conv", "attn1.*"))
    trained(model)
    path = lora.save_lora(tmp_path / "lora.safetensors", model)
    state, metadata = lora.read_lora(path)
    config = json.loads(metadata["lora_adapter_metadata"])
    config = {key.removeprefix("unet."): value for key, value in config.items()}
    theirs = peft.inject_adapter_in_model(peft.LoraConfig(**config), base)
    renamed = {key.removeprefix("unet."): value for key, value in state.items()}
    result = peft.set_peft_model_state_dict(theirs, renamed)
    assert not result.unexpected_keys
    torch.testing.assert_close(theirs(images()), model(images()), rtol=1e-12, atol=1e-12)


def test_reads_a_file_of_diffusers(tmp_path):
    """α is taken from diffusers' metadata, and is the rank where a file has none."""
    state = lora.lora_state(adapted(rank=2))
    for config, alpha in (({}, None), ({"unet.r": 2, "unet.lora_alpha": 5}, 5.0)):
        metadata = {"lora_adapter_metadata": json.dumps(config)}
        save_file(state, tmp_path / "lora.safetensors", metadata)
        assert lora.load_lora(net(), tmp_path / "lora.safetensors").alpha == alpha


def test_bad_files_are_named(tmp_path):
    """A file that is missing, is no safetensors file, or does not fit is in the message."""
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        lora.load_lora(net(), tmp_path / "gone.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of use")
    with pytest.raises(ValueError, match=r"broken\.safetensors is no safetensors file"):
        lora.load_lora(net(), broken)
    save_file({"unet.other.lora_A.weight": torch.zeros(1, 1)}, broken)
    with pytest.raises(ValueError, match=r"broken\.safetensors: .*unknown unet\.other"):
        lora.load_lora(net(), broken)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_factors_of_another_kind_are_refused(tmp_path, dtype):
    state = lora.lora_state(adapted(rank=2))
    key = next(iter(state))
    save_file(state | {key: state[key].to(dtype)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=rf"x\.safetensors: .*{key} is {dtype}, wanted a floating"):
        lora.load_lora(net(), tmp_path / "x.safetensors")
