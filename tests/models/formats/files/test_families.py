"""Which family a file looks like: every published manifest, and single files of relatives."""

import pytest

from latentgeo.models.formats.files.families import (
    FAMILIES,
    UNET,
    UNKNOWN,
    context_width,
    looks_like,
)

MANIFESTS = {
    "adm_ffhq256_p2": "adm",
    "adm_imagenet256_uncond": "adm",
    "clip_vit_b32_hf": "clip",
    "clip_vit_b32_openai": "clip-openai",
    "clip_vit_l14_openai": "clip-openai",
    "clip_vit_l14_text_hf": "clip-text",
    "ddpm_celebahq256_diffusers": "ddpm-diffusers",
    "ddpm_celebahq256_original": "ddpm-original",
    "sd15_unet_diffusers": "sd-unet",
    "sd15_vae_diffusers": "vae",
}
FIRST = f"{UNET}input_blocks.0.0.weight"


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_manifests_are_recognised(manifest, name):
    shapes = {key: tuple(shape) for key, shape in manifest(name)["keys"].items()}
    assert looks_like(shapes).name == MANIFESTS[name]


def test_the_single_file_and_its_parts_are_recognised(manifest):
    ldm = manifest("sd1_ldm_to_diffusers_keymap")["ldm_diffusers_keymap"]
    shapes = {key: (320, 4, 3, 3) for key in ldm}
    assert looks_like(shapes).name == "sd1-file"
    vae = {key.removeprefix("first_stage_model."): (1,) for key in ldm if key.startswith("first")}
    assert looks_like(vae).name == "vae-ldm"


@pytest.mark.parametrize(
    ("keys", "family"),
    [
        ({FIRST: (8, 9, 3, 3)}, "sd1-inpainting"),
        ({FIRST: (8, 8, 3, 3)}, "instruct-pix2pix"),
        ({FIRST: (8, 3, 3, 3), "first_stage_model.quantize.embedding.weight": (8, 3)}, "ldm-vq"),
        ({FIRST: (8, 3, 3, 3), "first_stage_model.quant_conv.weight": (6, 6, 1, 1)}, "ldm-kl"),
        (
            {
                "quantize.embedding.weight": (8192, 3),
                "encoder.down_blocks.0.resnets.0.norm1.weight": (8,),
            },
            "vq-diffusers",
        ),
        ({"quantize.embedding.weight": (8192, 3), "quant_conv.weight": (3, 3, 1, 1)}, "vq"),
        ({"controlnet_cond_embedding.conv_in.weight": (1,)}, "controlnet"),
        ({f"Mixed_{i}.branch1x1.conv.weight": (1,) for i in ("5b", "7c")}, "inception"),
        (
            {
                "AuxLogits.conv0.conv.weight": (1,),
                **{f"Mixed_{i}.branch1x1.conv.weight": (1,) for i in ("5b", "7c")},
            },
            "inception-torchvision",
        ),
        (
            {
                "net.layers.mixed.conv.weight": (64, 192, 1, 1),
                "net.layers.mixed_10.tower_2_conv.beta": (192,),
            },
            "inception-graph",
        ),
        (
            {
                "visual.attnpool.positional_embedding": (50, 2048),
                "token_embedding.weight": (49408, 512),
            },
            "clip-resnet",
        ),
        ({"vision_model.embeddings.patch_embedding.weight": (1,)}, "clip-vision"),
        ({"unet.mid_block.to_q.lora_A.weight": (2, 8)}, "lora"),
        ({"mid_block.attn1.processor.to_q_lora.down.weight": (2, 8)}, "lora"),
        ({"unet.mid_block.to_q.lora.down.weight": (2, 8)}, "lora"),
        ({"lora_te_text_model_x.alpha": ()}, "lora"),
        ({"unet:0:up": (8, 2)}, "lora"),
        ({"lora_unet_x.hada_w1_a": (8, 2)}, "lycoris"),
        ({"lora_unet_x.lokr_w1": (8, 2)}, "lycoris"),
        ({"<cat>": (768,)}, "textual-inversion"),
        ({"emb_params": (3, 768)}, "textual-inversion"),
        ({"conv.weight": (3, 3, 3, 3)}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_relatives_are_told_apart(keys, family):
    assert looks_like(keys).name == family


def test_names_are_unique_and_titles_read_as_words():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert all(family.title and not family.title.endswith(".") for family in (*FAMILIES, UNKNOWN))


def test_the_width_of_the_text_tells_the_model(manifest):
    shapes = {k: tuple(s) for k, s in manifest("sd15_unet_diffusers")["keys"].items()}
    assert context_width(shapes) == 768
    assert context_width({"conv_in.weight": (8, 4, 3, 3)}) is None
