"""Adapters whose keys say what was around the network in training: the same LoRA without it."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.models.formats.convert import kind_of
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.lora.files import GRAMMARS, read_lora_file, write_lora_file
from latentgeo.models.formats.lora.wrapped import unwrapped

WRAPPERS = ("_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "module.module.")
INSIDE = re.compile(  # where a wrapper can be besides the front: behind a network's name, within
    r"^(unet\.|text_encoder\.|lora_unet_|lora_te_)?(.*(?=transformer_blocks|layers))?"
)


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        ("module._orig_mod.lora_unet_module_conv_in.alpha", "lora_unet_conv_in.alpha"),
        ("_orig_mod.bundle_emb.module.string_to_param.*", "bundle_emb.module.string_to_param.*"),
        ("unet.module_list.my_module.lora.up.weight", "unet.module_list.my_module.lora.up.weight"),
    ],
)
def test_words_that_are_no_wrappers_stay(key, plain):
    assert unwrapped(key) == plain


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", GRAMMARS)
def test_wrappers_are_passed_over(tmp_path, places, lora_on, same_lora, name, wrapper):
    """Before the key, behind the network's name, and before a layer within."""
    lora = lora_on(unet=("attn1.", "attn2."), text=("self_attn",))
    path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS[name], places)
    tensors, metadata = load_file(path), open_source(path).metadata

    def inside(key: str) -> str:
        put = wrapper.replace(".", "_") if key.startswith("lora_") else wrapper
        match = INSIDE.match(key)
        start = match[1] or ""
        return f"{start}{put}{match[2] or ''}{put}{key[match.end() :]}"

    ways = [lambda key: wrapper + key]
    if name != "cloneofsimo":  # it numbers its layers
        ways.append(inside)
    for way in ways:
        save_file({way(key): tensor for key, tensor in tensors.items()}, path, metadata)
        assert kind_of(path) == "lora"
        found, grammar = read_lora_file(path, places)
        assert grammar is GRAMMARS[name] and same_lora(found, lora)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_in_a_folder_of_peft(tmp_path, places, lora_on, wrapper):
    """Where PEFT was put around a network that was compiled already, and the other way round."""
    tensors, _ = GRAMMARS["peft"].write(lora_on(unet=("attn1.",)), places)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 5}))
    for start in (f"base_model.model.{wrapper}", f"{wrapper}base_model.model."):
        keys = {start + key.removeprefix("unet."): tensor for key, tensor in tensors.items()}
        save_file(keys, tmp_path / "adapter_model.safetensors")
        lora, _ = read_lora_file(tmp_path, places)
        assert lora.unet.keys() == {layer for layer in places.unet if "attn1." in layer}
        assert {factors.alpha for _, _, factors in lora} == {5.0}


def test_two_keys_of_one_layer_are_refused(tmp_path, places, lora_on):
    path = write_lora_file(
        tmp_path / "x.safetensors", lora_on(unet=("conv_in",)), GRAMMARS["diffusers"], places
    )
    key = "unet.conv_in.lora.up.weight"
    save_file(load_file(path) | {f"module.{key}": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"x\.safetensors: .* are of one layer, wanted one"):
        read_lora_file(path, places)
