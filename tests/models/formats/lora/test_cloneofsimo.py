"""cloneofsimo's grammar: layers by number, kinds and ranks in the metadata, learned tokens."""

import json

import pytest
import torch
from safetensors import safe_open

from latentgeo.models.bundles.text_to_image import BundleConfig
from latentgeo.models.formats.lora.adapter import misfits, places_in
from latentgeo.models.formats.lora.cloneofsimo import GRAMMAR

ATTENTION, GATE = ("attn1.", "attn2."), ("ff.net.0",)
TEXT = ("self_attn",)


def test_the_published_file_numbers_layers_as_we_do(asset):
    """144 and 48 layers whose shapes fit one by one, GEGLUs between the attentions."""
    places = places_in(BundleConfig())
    with safe_open(asset("lora/analog_svd_rank4.safetensors"), "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata()
    lora = GRAMMAR.read(tensors, metadata, places)
    assert (len(lora.unet), len(lora.text)) == (144, 48) and misfits(lora, places) == []
    stem = "down_blocks.0.attentions.0.transformer_blocks.0"
    assert lora.unet[f"{stem}.ff.net.0.proj"].A is tensors["unet:4:down"]
    assert lora.unet[f"{stem}.attn2.to_k"].B is tensors["unet:6:up"]
    middle = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
    assert lora.unet[middle].A is tensors["unet:143:down"]
    assert lora.text["encoder.layers.0.self_attn.k_proj"].A is tensors["text_encoder:0:down"]
    assert {factors.rank for _, _, factors in lora} == {4} and lora.notes == {}
    again, notes = GRAMMAR.write(lora, places)
    assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())
    assert again.keys() == tensors.keys() and notes.keys() == metadata.keys()
    assert all(json.loads(notes[key]) == json.loads(metadata[key]) for key in metadata)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ({"unet": (*ATTENTION, *GATE)}, {"unet": ["CrossAttention", "Attention", "GEGLU"]}),
        ({"unet": ATTENTION}, {"unet": ["CrossAttention", "Attention"]}),
        ({"unet": GATE}, {"unet": ["GEGLU"]}),
        ({"text": TEXT}, {"text_encoder": ["CLIPAttention"]}),
        (
            {"unet": ATTENTION, "text": TEXT},
            {"unet": ["CrossAttention", "Attention"], "text_encoder": ["CLIPAttention"]},
        ),
    ],
)
def test_kinds_are_told_by_the_layers(places, lora_on, same_lora, words, kinds):
    lora = lora_on(**words, rank=lambda layer: 2 + len(layer) % 3, notes={"note": "x"})
    tensors, metadata = GRAMMAR.write(lora, places)
    assert {name: json.loads(metadata[name]) for name in kinds} == kinds
    back = GRAMMAR.read(tensors, metadata, places)
    assert same_lora(back, lora) and back.notes == {"note": "x"}


def test_learned_tokens(places, lora_on, same_lora):
    tokens = {"<cat>": torch.randn(3, 16), "<unet:0:up>": torch.randn(1, 16)}
    lora = lora_on(unet=ATTENTION, tokens=tokens)
    tensors, metadata = GRAMMAR.write(lora, places)
    assert metadata["<cat>"] == "<embed>" and tensors["<cat>"] is tokens["<cat>"]
    assert same_lora(GRAMMAR.read(tensors, metadata, places), lora)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"unet": ("conv_in",)}, "numbers attentions and GEGLUs only, and there is unet conv_in"),
        (
            {"text": ("fc1",)},
            r"numbers attentions only, and there is text encoder\.layers\.0\.mlp\.fc1",
        ),
        ({"unet": ("attn1.",)}, r"all layers of a kind, and unet .*attn2\.to_k has no factors"),
        ({"unet": ATTENTION, "alpha": 7.0}, "it has no α, and unet .* has α = 7"),
    ],
)
def test_what_it_cannot_say_is_refused(places, lora_on, words, message):
    with pytest.raises(ValueError, match=rf"cloneofsimo cannot say this LoRA: .*{message}"):
        GRAMMAR.write(lora_on(**words), places)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"unet": '["ResnetBlock2D"]'}, "it is on ResnetBlock2D of unet, whose order"),
        ({"unet": '["GEGLU"]'}, r"numbers 44 layers .*up to 43, and a model of this shape has 11"),
        ({"unet": "3"}, "say '3' of unet, wanted a list"),
        ({"unet": "[1]"}, "it is on 1 of unet, whose order"),
        ({"unet": "[[]]"}, r"say '\[\[\]\]' of unet, wanted a list"),
        ({"unet": "null"}, "say 'null' of unet, wanted a list"),
        ({"unet": "[" * 100_000}, "of unet, wanted a list"),
        ({"unet": "[]"}, "has 0 of the kinds that it says"),
        ({"unet:3:rank": "9"}, r"unet:3:(up|down) has rank 2, and the metadata say 9"),
    ],
)
def test_metadata_that_lie_are_refused(places, lora_on, edit, message):
    words = {"unet": ATTENTION} if edit.get("unet") != '["GEGLU"]' else {"unet": (*ATTENTION,)}
    tensors, metadata = GRAMMAR.write(lora_on(**words), places)
    count = len(tensors) // 2
    with pytest.raises(
        ValueError, match=message.replace("44", str(count)).replace("43", str(count - 1))
    ):
        GRAMMAR.read(tensors, {**metadata, **edit}, places)


def test_a_missing_layer_or_factor_is_refused(places, lora_on):
    tensors, metadata = GRAMMAR.write(lora_on(unet=ATTENTION), places)
    gone = {key: value for key, value in tensors.items() if not key.startswith("unet:7:")}
    with pytest.raises(ValueError, match=r"numbers \d+ layers of unet up to \d+, and"):
        GRAMMAR.read(gone, metadata, places)
    del tensors["unet:5:up"]
    with pytest.raises(ValueError, match="factor B is missing"):
        GRAMMAR.read(tensors, metadata, places)
    with pytest.raises(ValueError, match="unknown key stranger"):
        GRAMMAR.read({**tensors, "stranger": torch.ones(1)}, metadata, places)


def test_a_factor_that_is_no_matrix_is_told(places, lora_on):
    tensors, metadata = GRAMMAR.write(lora_on(unet=ATTENTION), places)
    with pytest.raises(ValueError, match="unet:3:up has rank None, and the metadata say 2"):
        GRAMMAR.read(tensors | {"unet:3:up": torch.ones(2)}, metadata, places)
