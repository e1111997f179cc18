"""kohya's grammar: names that only the model's layers can tell apart, α per layer, convolutions."""

import pytest
import torch

from latentgeo.models.formats.lora.kohya import GRAMMAR, LDM_BLOCKS

BLOCK = "attentions_0_transformer_blocks_0_attn1_to_out_0"
A, B = torch.ones(2, 8), torch.ones(8, 2)


def keys(stem: str) -> dict[str, torch.Tensor]:
    return {f"{stem}.lora_down.weight": A, f"{stem}.lora_up.weight": B}


@pytest.mark.parametrize(
    ("stem", "part", "layer"),
    [
        (
            f"lora_unet_down_blocks_1_{BLOCK}",
            "unet",
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0",
        ),
        ("lora_unet_mid_block_resnets_1_conv2", "unet", "mid_block.resnets.1.conv2"),
        ("lora_unet_up_blocks_1_upsamplers_0_conv", "unet", "up_blocks.1.upsamplers.0.conv"),
        ("lora_unet_time_embedding_linear_1", "unet", "time_embedding.linear_1"),
        ("lora_unet_conv_in", "unet", "conv_in"),
        (
            "lora_unet_input_blocks_4_1_transformer_blocks_0_ff_net_0_proj",
            "unet",
            "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj",
        ),
        ("lora_unet_input_blocks_3_0_op", "unet", "down_blocks.0.downsamplers.0.conv"),
        ("lora_unet_middle_block_2_out_layers_3", "unet", "mid_block.resnets.1.conv2"),
        ("lora_unet_output_blocks_2_1_conv", "unet", "up_blocks.0.upsamplers.0.conv"),
        ("lora_unet_output_blocks_5_2_conv", "unet", "up_blocks.1.upsamplers.0.conv"),
        ("lora_unet_out_2", "unet", "conv_out"),
        ("lora_te_text_model_encoder_layers_1_mlp_fc2", "text", "encoder.layers.1.mlp.fc2"),
    ],
)
def test_names_of_both_layouts(places, stem, part, layer):
    """The tiny model has three resolutions of two blocks; the coarsest has no attention."""
    lora = GRAMMAR.read(keys(stem) | {f"{stem}.alpha": torch.tensor(1.0)}, {}, places)
    assert list(lora.part(part)) == [layer] and lora.part(part)[layer].alpha == 1.0
    assert layer in places.part(part)


@pytest.mark.parametrize("grammar", [GRAMMAR, LDM_BLOCKS], ids=["diffusers", "ldm"])
def test_every_layer_has_a_name_of_its_own(places, lora_on, same_lora, grammar):
    lora = lora_on(unet=("",), text=("",), alpha=lambda layer: 1.0 + len(layer))
    tensors, metadata = grammar.write(lora, places)
    assert len(tensors) == 3 * len([*lora]) and all(key.count(".") <= 2 for key in tensors)
    assert same_lora(grammar.read(tensors, metadata, places), lora)


def test_without_alpha_it_is_the_rank(places):
    lora = GRAMMAR.read(keys("lora_unet_conv_in"), {"ss_seed": "3"}, places)
    assert lora.unet["conv_in"].alpha is None and lora.notes == {"ss_seed": "3"}
    tensors, metadata = GRAMMAR.write(lora, places)
    assert tensors["lora_unet_conv_in.alpha"] == 2 and metadata["ss_seed"] == "3"


@pytest.mark.parametrize(
    ("alpha", "dtype", "kept"),
    [(3.0, torch.float16, torch.float16), (0.1, torch.float16, torch.float32)],
)
def test_alpha_is_in_the_factors_dtype_where_that_is_exact(places, lora_on, alpha, dtype, kept):
    alpha = float(torch.tensor(alpha))  # a number that float32 has
    tensors, _ = GRAMMAR.write(lora_on(unet=("conv_in",), alpha=alpha, dtype=dtype), places)
    found = tensors["lora_unet_conv_in.alpha"]
    assert found.dtype == kept and float(found) == alpha


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            keys("lora_te1_text_model_x"),
            r"two text encoders \(lora_te1_, lora_te2_\): it is for SDXL",
        ),
        (keys("lora_unet_down_blocks_9_conv"), "unknown key lora_unet_down_blocks_9_conv"),
        ({"lora_unet_conv_in.lora_down.weight": A}, "factor B is missing"),
        (keys("lora_unet_conv_in") | {"lora_unet_conv_in.more": A}, r"unknown key .*conv_in\.more"),
        (keys("lora_unet_conv_in") | {"lora_unet_conv_in.alpha": torch.tensor(0.0)}, "α is 0"),
        (keys("lora_unet_conv_in") | keys("lora_unet_input_blocks_0_0"), "a second time"),
    ],
)
def test_what_does_not_make_sense_is_refused(places, tensors, message):
    with pytest.raises(ValueError, match=message):
        GRAMMAR.read(tensors, {}, places)


def test_learned_tokens_have_no_place(places, lora_on):
    with pytest.raises(ValueError, match=r"kohya cannot say this LoRA: .* <cat>"):
        GRAMMAR.write(lora_on(unet=("attn1",), tokens={"<cat>": A}), places)
