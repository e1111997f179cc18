"""Stable Diffusion 1.x in one file: bit for bit both ways, published names, others refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.models.bundles.text_to_image import BundleConfig, empty_bundle, plain_config
from latentgeo.models.formats.files.families import TEXT, UNET, VAE
from latentgeo.models.formats.ldm.file import (
    CONFIG,
    average_name,
    ignored,
    layouts,
    read_ldm,
    write_ldm,
)


@pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.ckpt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_round_trip_is_bit_exact(tiny, same, tmp_path, name, dtype):
    path = write_ldm(tiny, tmp_path / name, dtype)
    back = read_ldm(path, dtype=None)
    for part, module in tiny.modules.items():
        found = back.modules[part].state_dict()
        for key, value in module.state_dict().items():
            assert torch.equal(found[key], value.to(dtype)) and found[key].dtype == dtype
    assert back.config == tiny.config
    again = write_ldm(back, tmp_path / f"again-{name}")
    assert same(read_ldm(again, dtype=None), back)
    if dtype == torch.float32:
        assert same(back, tiny)


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_names_of_compiled_and_parallel_modules(tiny, same, tmp_path, name):
    """Before all names, or before those of a part."""
    state = load_file(write_ldm(tiny, tmp_path / "own.safetensors"))
    state = {f"module.{key.replace(UNET, f'{UNET}_orig_mod.')}": v for key, v in state.items()}
    config = json.dumps(plain_config(tiny.config))
    if name.endswith(".ckpt"):
        torch.save({"state_dict": state, CONFIG: config}, tmp_path / name)
    else:
        save_file(state, tmp_path / name, {CONFIG: config})
    assert same(read_ldm(tmp_path / name), tiny)


def test_what_compares_texts_with_images_is_passed_over(tiny, same, tmp_path):
    """It lies beside the text encoder in files of other programs."""
    path = write_ldm(tiny, tmp_path / "a.safetensors")
    more = {"logit_scale": torch.ones(()), "transformer.text_projection.weight": torch.ones(16, 16)}
    more["transformer.text_model.text_projection"] = torch.ones(16, 16)
    state = load_file(path) | {f"cond_stage_model.{name}": value for name, value in more.items()}
    save_file(state, path, {CONFIG: json.dumps(plain_config(tiny.config))})
    assert same(read_ldm(path), tiny)


def test_a_running_average_alone_is_used_and_said(tiny, same, tmp_path):
    path = write_ldm(tiny, tmp_path / "a.safetensors")
    state = {average_name(name) or name: value for name, value in load_file(path).items()}
    assert "model_ema.diffusion_modelout2weight" in state
    save_file(state, path, {CONFIG: json.dumps(plain_config(tiny.config))})
    with pytest.warns(UserWarning, match="has the running average of the UNet alone: used"):
        assert same(read_ldm(path), tiny)


def test_stable_diffusions_tensors_are_each_asked_for_once(manifest):
    """1,130 names of the published file, in its shapes, eight of them convolutions."""
    pairs = manifest("sd1_ldm_to_diffusers_keymap")
    found = [
        at for layout in layouts(empty_bundle(BundleConfig())).values() for at in layout.values()
    ]
    assert len(found) == 1130
    assert {at.name for at in found} == set(pairs["ldm_diffusers_keymap"])
    files = {"unet_": "sd15_unet_diffusers", "vae_": "sd15_vae_diffusers"}
    shapes = {
        prefix + key: shape
        for prefix, file in files.items()
        for key, shape in manifest(file)["keys"].items()
    }
    text = manifest("clip_vit_l14_text_hf")["keys"]
    shapes |= {f"te_text_model.{key}": shape for key, shape in text.items()}
    for at in found:
        changed = pairs["ldm_diffusers_shape_map"].get(at.name)
        wanted = changed[0] if changed else shapes[pairs["ldm_diffusers_keymap"][at.name]]
        assert list(at.shape) == wanted, at.name


def rewritten(tiny, tmp_path, change):
    """Write the tiny model with its tensors changed, as a published file with its configuration."""
    path = write_ldm(tiny, tmp_path / "file.safetensors")
    save_file(change(load_file(path)), path, {CONFIG: json.dumps(config_of(path))})
    return path


def config_of(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"][CONFIG])


def test_what_published_files_have_besides_is_passed_over(tiny, same, tmp_path):
    """The running average, the schedule, the loss, and position ids of either dtype."""
    text = f"{TEXT}text_model.embeddings.position_ids"
    more = {
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.diffusion_modelinput_blocks00weight": torch.ones(3),
        "betas": torch.ones(1000),
        "alphas_cumprod": torch.ones(1000),
        "alphas_cumprod_prev": torch.ones(1000),
        "sqrt_one_minus_alphas_cumprod": torch.ones(1000),
        "log_one_minus_alphas_cumprod": torch.ones(1000),
        "sqrt_recipm1_alphas_cumprod": torch.ones(1000),
        "posterior_mean_coef1": torch.ones(1000),
        "logvar": torch.ones(1000),
        f"{VAE}loss.perceptual_loss.lin0.model.1.weight": torch.ones(1, 2, 1, 1),
        text: torch.arange(77)[None],
    }
    path = rewritten(tiny, tmp_path, lambda state: state | more)
    assert same(read_ldm(path), tiny)
    assert all(ignored(name) for name in more)
    assert not ignored(f"{UNET}out.2.weight") and not ignored("alphas")


def test_the_text_encoders_shorter_prefix(tiny, same, tmp_path):
    """Some merging programs leave `text_model.` out."""
    path = rewritten(
        tiny,
        tmp_path,
        lambda state: {key.replace("text_model.", ""): value for key, value in state.items()},
    )
    assert same(read_ldm(path), tiny)


def test_one_error_for_all_three_networks(tiny, tmp_path):
    def change(state):
        del state[f"{UNET}out.2.bias"]
        del state[f"{VAE}quant_conv.bias"]
        state[f"{TEXT}text_model.final_layer_norm.bias"] = torch.ones(3)
        return state | {"stranger": torch.ones(1)}

    with pytest.raises(ValueError) as caught:
        read_ldm(rewritten(tiny, tmp_path, change))
    assert f"missing {UNET}out.2.bias (4,)" in str(caught.value)
    assert f"missing {VAE}quant_conv.bias (8,)" in str(caught.value)
    assert "final_layer_norm.bias is (3,), wanted (16,)" in str(caught.value)
    assert "unexpected stranger (1,)" in str(caught.value)


@pytest.mark.parametrize(
    ("state", "family"),
    [
        ({f"{UNET}input_blocks.0.0.weight": (8, 9, 3, 3)}, "the inpainting model"),
        ({f"{UNET}input_blocks.0.0.weight": (8, 8, 3, 3)}, "InstructPix2Pix"),
        (
            {
                f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3),
                f"{UNET}label_emb.0.0.weight": (8, 8),
            },
            "Stable Diffusion XL",
        ),
        (
            {
                f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3),
                "cond_stage_model.model.token_embedding.weight": (9, 8),
            },
            r"Stable Diffusion 2\.x",
        ),
        ({"lora_unet_mid_block.lora_up.weight": (8, 2)}, "LoRA"),
        ({"anything": (3,)}, "no family"),
    ],
)
def test_other_families_are_refused_by_name(tmp_path, state, family):
    save_file({key: torch.zeros(shape) for key, shape in state.items()}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=rf"looks like {family}.*, wanted Stable Diffusion 1\.x"):
        read_ldm(tmp_path / "x.safetensors")


def test_a_file_without_configuration_is_held_against_stable_diffusion(tiny, tmp_path):
    """Its shapes are told apart from the published ones, since it says nothing of heads."""
    path = write_ldm(tiny, tmp_path / "x.safetensors")
    save_file(load_file(path), path)
    with pytest.raises(
        ValueError,
        match=r"against Stable Diffusion 1\.5; .*0\.0\.weight is \(8, 4, 3, 3\), wanted \(320,",
    ):
        read_ldm(path)


def test_a_configuration_that_is_none_is_refused(tiny, tmp_path):
    path = write_ldm(tiny, tmp_path / "x.safetensors")
    state = load_file(path)
    for text, message in (("{", "is no JSON"), ('{"unets": 1}', "unknown key 'unets'")):
        save_file(state, path, {CONFIG: text})
        with pytest.raises(ValueError, match=message):
            read_ldm(path)
