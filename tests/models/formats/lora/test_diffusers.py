"""diffusers' two grammars: the published forms of their keys, and layers they have no words for."""

import pytest
import torch

from latentgeo.models.formats.lora.diffusers import LAYERS, PROCESSORS

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
TEXT = "encoder.layers.0.self_attn"
A, B = torch.ones(2, 8), torch.ones(8, 2)


@pytest.mark.parametrize(
    ("grammar", "stem", "part", "layer"),
    [
        (PROCESSORS, f"{BLOCK}.attn1.processor.to_q_lora", "unet", f"{BLOCK}.attn1.to_q"),
        (
            PROCESSORS,
            f"unet.{BLOCK}.attn2.processor.to_out_lora",
            "unet",
            f"{BLOCK}.attn2.to_out.0",
        ),
        (PROCESSORS, f"text_encoder.text_model.{TEXT}.to_out_lora", "text", f"{TEXT}.out_proj"),
        (PROCESSORS, f"text_encoder.{TEXT}.to_k_lora", "text", f"{TEXT}.k_proj"),
        (LAYERS, f"unet.{BLOCK}.attn1.to_out.0.lora", "unet", f"{BLOCK}.attn1.to_out.0"),
        (LAYERS, "unet.conv_in.lora", "unet", "conv_in"),
        (
            LAYERS,
            f"text_encoder.text_model.{TEXT}.q_proj.lora_linear_layer",
            "text",
            f"{TEXT}.q_proj",
        ),
    ],
)
def test_published_keys_are_read(places, grammar, stem, part, layer):
    tensors = {f"{stem}.down.weight": A, f"{stem}.up.weight": B}
    assert grammar.claims([*tensors])
    lora = grammar.read(tensors, {"format": "pt", "seed": "3"}, places)
    factors = lora.part(part)[layer]
    assert factors.A is A and factors.B is B and factors.alpha is None
    assert len([*lora]) == 1 and lora.notes == {"seed": "3"}


def test_processors_with_text_layers_of_the_later_kind(places):
    """Files of one version have both."""
    tensors = {
        f"unet.{BLOCK}.attn1.processor.to_q_lora.down.weight": A,
        f"unet.{BLOCK}.attn1.processor.to_q_lora.up.weight": B,
        f"text_encoder.text_model.{TEXT}.q_proj.lora_linear_layer.down.weight": A,
        f"text_encoder.text_model.{TEXT}.q_proj.lora_linear_layer.up.weight": B,
    }
    assert PROCESSORS.claims([*tensors]) and not LAYERS.claims([*tensors])
    lora = PROCESSORS.read(tensors, {}, places)
    assert list(lora.unet) == [f"{BLOCK}.attn1.to_q"] and list(lora.text) == [f"{TEXT}.q_proj"]


def test_the_unet_alone_is_written_without_a_prefix(places, lora_on):
    """As `save_attn_procs` did; with a text encoder each network is named."""
    alone, _ = PROCESSORS.write(lora_on(unet=("attn1.to_q",)), places)
    assert all(".processor.to_q_lora." in key and not key.startswith("unet.") for key in alone)
    both, _ = PROCESSORS.write(lora_on(unet=("attn1.to_q",), text=("q_proj",)), places)
    assert {key.partition(".")[0] for key in both} == {"unet", "text_encoder"}


@pytest.mark.parametrize(
    ("grammar", "words", "message"),
    [
        (
            PROCESSORS,
            {"unet": ("ff.net.0",)},
            r"attentions alone, and unet .*ff\.net\.0\.proj is no",
        ),
        (PROCESSORS, {"unet": ("conv_in",)}, "unet conv_in is no projection"),
        (PROCESSORS, {"text": ("mlp.fc1",)}, r"text encoder\.layers\.0\.mlp\.fc1 is no projection"),
        (PROCESSORS, {"unet": ("attn1",), "alpha": 1.0}, "has α = 1 at rank 2"),
        (
            LAYERS,
            {"unet": ("attn1",), "alpha": 8.0},
            r"has α = 8 at rank 2 \(fold it into B first\)",
        ),
        (LAYERS, {"unet": ("attn1",), "tokens": {"<cat>": A}}, "learned tokens <cat>"),
    ],
)
def test_what_they_have_no_words_for_is_refused(places, lora_on, grammar, words, message):
    with pytest.raises(ValueError, match=rf"{grammar.name} cannot say this LoRA: .*{message}"):
        grammar.write(lora_on(**words), places)


def test_keys_of_neither_are_listed(places):
    with pytest.raises(ValueError, match=r"unknown key unet\.conv_in\.down"):
        LAYERS.read({"unet.conv_in.down": A}, {}, places)
    with pytest.raises(ValueError, match=r"unknown key x\.processor\.to_z_lora\.down\.weight"):
        PROCESSORS.read({"x.processor.to_z_lora.down.weight": A}, {}, places)
