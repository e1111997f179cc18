"""PEFT's grammar: prefixes, adapter names, α in the metadata or beside the file; the package."""

import json

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.bundles.text_to_image import read_config
from latentgeo.models.formats.lora.adapter import Lora, places_in
from latentgeo.models.formats.lora.files import read_lora_file
from latentgeo.models.formats.lora.peft import GRAMMAR
from latentgeo.models.lora.peft import PEFT
from latentgeo.models.zoo.places import ZOO

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
TEXT = "encoder.layers.0.self_attn.q_proj"
A, B = torch.ones(2, 8), torch.ones(8, 2)


def keys(stem: str, infix: str = "") -> dict[str, torch.Tensor]:
    return {f"{stem}.lora_A{infix}.weight": A, f"{stem}.lora_B{infix}.weight": B}


@pytest.mark.parametrize("infix", ["", ".default", ".my_adapter"])
@pytest.mark.parametrize(
    ("stem", "part", "layer"),
    [
        (f"unet.{LAYER}", "unet", LAYER),
        (LAYER, "unet", LAYER),
        (f"base_model.model.{LAYER}", "unet", LAYER),
        (f"base_model.model.unet.{LAYER}", "unet", LAYER),
        (f"text_encoder.text_model.{TEXT}", "text", TEXT),
        (f"text_encoder.{TEXT}", "text", TEXT),
        (f"base_model.model.text_model.{TEXT}", "text", TEXT),
        (f"base_model.model.{TEXT}", "text", TEXT),
    ],
)
def test_published_keys_are_read(places, stem, infix, part, layer):
    tensors = keys(stem, infix)
    assert GRAMMAR.claims([*tensors])
    lora = GRAMMAR.read(tensors, {}, places)
    assert list(lora.part(part)) == [layer] and len([*lora]) == 1
    assert lora.part(part)[layer].A is A and lora.part(part)[layer].alpha is None


def alphas(lora: Lora) -> dict[str, float | None]:
    return {layer: factors.alpha for _, layer, factors in lora}


def test_alpha_of_diffusers_metadata(places):
    """One α per network, and patterns for layers that have another, by the end of their names."""
    config = {
        "unet.r": 2,
        "unet.lora_alpha": 5,
        "unet.alpha_pattern": {"attn1.to_k": 7, "mid_block.*to_q": 9},
        "text_encoder.r": 2,
        "text_encoder.lora_alpha": 3,
    }
    mid = "mid_block.attentions.0.transformer_blocks.0.attn2.to_q"
    tensors = keys(f"unet.{LAYER}") | keys(f"unet.{LAYER[:-1]}k") | keys(f"unet.{mid}")
    tensors |= keys(f"text_encoder.text_model.{TEXT}")
    lora = GRAMMAR.read(tensors, {PEFT: json.dumps(config)}, places)
    assert alphas(lora) == {LAYER: 5.0, f"{LAYER[:-1]}k": 7.0, mid: 9.0, TEXT: 3.0}


def test_alpha_of_our_own_metadata(places):
    assert alphas(GRAMMAR.read(keys(f"unet.{LAYER}"), {"alpha": "5.0"}, places)) == {LAYER: 5.0}
    assert alphas(GRAMMAR.read(keys(f"unet.{LAYER}"), {"alpha": "rank"}, places)) == {LAYER: None}


def test_ranks_and_alphas_by_layer_are_written_and_read(places, lora_on, same_lora):
    lora = lora_on(
        unet=("attn", "conv1"),
        text=("q_proj", "fc2"),
        rank=lambda layer: 3 if "to_q" in layer else 2,
        alpha=lambda layer: {"k": 4.0, "q": None}.get(layer[-1], 0.5),
        notes={"seed": "3"},
    )
    tensors, metadata = GRAMMAR.write(lora, places)
    back = GRAMMAR.read(tensors, metadata, places)
    assert same_lora(back, lora) and back.notes == {"seed": "3"}
    config = json.loads(metadata[PEFT])
    assert config["unet.r"] == 2 and config["text_encoder.r"] == 2
    assert all(key.startswith("encoder.") for key in config["text_encoder.target_modules"])
    assert any(key.startswith("text_encoder.text_model.encoder.") for key in tensors)


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        (keys(LAYER, ".a") | keys(LAYER, ".b"), "{}", r"several adapters, \['a', 'b'\]"),
        (keys(LAYER), '{"use_dora": true}', r"DoRA: .* \(use_dora\)"),
        (keys(LAYER), '{"unet.use_dora": true}', "DoRA"),
        (keys(LAYER), '{"modules_to_save": ["conv_in"]}', "whole layers"),
        (keys(LAYER), "{", "is no JSON"),
        (keys(LAYER), "[]", "is no JSON object"),
        (
            keys(LAYER),
            '{"r": 2, "lora_alpha": 3, "alpha_pattern": {"(": 3}}',
            r"'\(' is no pattern",
        ),
        (keys(LAYER) | {"x.lora_C.weight": A}, "{}", r"unknown key x\.lora_C\.weight"),
        ({f"{LAYER}.lora_A.weight": A}, "{}", "factor B is missing"),
    ],
)
def test_what_is_no_plain_lora_is_refused(places, tensors, config, message):
    with pytest.raises(ValueError, match=message):
        GRAMMAR.read(tensors, {PEFT: config}, places)


def test_learned_tokens_have_no_place(places, lora_on):
    with pytest.raises(ValueError, match=r"peft cannot say this LoRA: .* <cat>"):
        GRAMMAR.write(lora_on(unet=("attn1",), tokens={"<cat>": A}), places)


def test_a_folder_of_the_package_is_read(pipeline, tmp_path, places):
    """PEFT's own file, with α and a pattern in adapter_config.json, has the weights' scales."""
    peft = pytest.importorskip("peft")
    unet = type(pipeline.unet).from_config(pipeline.unet.config)
    targets = ["to_q", "to_k", "conv1", "proj_in"]
    config = peft.LoraConfig(
        r=3,
        lora_alpha=6,
        target_modules=targets,
        rank_pattern={"to_k": 2},
        alpha_pattern={"conv1": 9},
    )
    model = peft.get_peft_model(unet, config)
    model.save_pretrained(tmp_path)
    lora, grammar = read_lora_file(tmp_path, places)
    assert grammar is GRAMMAR
    scales = {layer: factors.scale for _, layer, factors in lora}
    wanted = {
        name.removeprefix("base_model.model."): module.scaling["default"]
        for name, module in model.named_modules()
        if hasattr(module, "scaling")
    }
    assert len(wanted) > 20 and scales == pytest.approx(wanted)


def scales(lora: Lora) -> dict[str, float]:
    return {layer: factors.scale for _, layer, factors in lora}


def save(peft, pipeline, folder, **settings):
    """Return the scales of an adapter of the package, written to a folder."""
    unet = type(pipeline.unet).from_config(pipeline.unet.config)
    config = peft.LoraConfig(**{"r": 4, "target_modules": ["to_q", "to_out.0"], **settings})
    model = peft.get_peft_model(unet, config)
    model.save_pretrained(folder)
    named = model.named_modules()
    found = {
        name: module.scaling["default"] for name, module in named if hasattr(module, "scaling")
    }
    return {name.removeprefix("base_model.model."): scale for name, scale in found.items()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "lora_alpha": 3},
        {"use_rslora": True, "rank_pattern": {"to_q": 3}, "alpha_pattern": {"down.*to_q": 5}},
        {"init_lora_weights": "gaussian", "alpha_pattern": {"[mu].*": 2, "to_q": 7}},
        {"init_lora_weights": "orthogonal", "lora_dropout": 0.1, "fan_in_fan_out": True},
        {"target_modules": ".*attn2.to_q", "exclude_modules": ".*mid.*"},
        {"layers_to_transform": [0], "layers_pattern": "transformer_blocks"},
    ],
)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_the_scales_are_the_packages(pipeline, tmp_path, places, settings):
    peft = pytest.importorskip("peft")
    wanted = save(peft, pipeline, tmp_path, **settings)
    assert wanted and scales(read_lora_file(tmp_path, places)[0]) == pytest.approx(wanted)


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_2", "olora"])
def test_a_folder_whose_training_changed_the_base_is_refused(pipeline, tmp_path, places, start):
    peft = pytest.importorskip("peft")
    save(peft, pipeline, tmp_path, init_lora_weights=start)
    with pytest.raises(ValueError, match=rf'init_lora_weights is "{start}": .* changed the base'):
        read_lora_file(tmp_path, places)


def test_a_folder_that_failed_once_is_refused(trial):
    places = places_in(read_config(ZOO / "avatars" / "config.json"))
    with pytest.raises(ValueError, match=r'adapter_model\.safetensors: init_.* is "pissa": PiSSA'):
        read_lora_file(trial("lora/p_pissa"), places)
    lora, _ = read_lora_file(trial("lora/p_noalpha"), places)
    assert set(scales(lora).values()) == {2.0}  # 8 of the package over rank 4


def test_the_configuration_beside_a_file_may_have_a_mark_and_is_missed(tmp_path, places):
    """A byte order mark is no fault; no text, no JSON and no object are told by the file's name."""
    tensors = keys(f"base_model.model.{LAYER}")
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.warns(UserWarning, match=r"no adapter_config\.json beside it, which says α"):
        assert scales(read_lora_file(tmp_path, places)[0]) == {LAYER: 1.0}
    config = tmp_path / "adapter_config.json"
    config.write_bytes(b"\xef\xbb\xbf" + b'{"r": 2, "lora_alpha": 5}')
    assert scales(read_lora_file(tmp_path, places)[0]) == {LAYER: 2.5}
    for data, message in (
        (b"\xff\xfe{", ": not UTF-8 or UTF-16 text"),
        (b"{", " is no JSON"),
        (b"[]", r" is no JSON object but \[\]"),
    ):
        config.write_bytes(data)
        with pytest.raises(ValueError, match=rf"adapter_config\.json{message}"):
            read_lora_file(tmp_path, places)


@pytest.mark.parametrize("start", ["unet.base_model.model.", "base_model.model.unet."])
def test_the_root_of_the_package_may_stand_on_either_side(places, start):
    lora = GRAMMAR.read(keys(start + LAYER), {}, places)
    assert list(lora.unet) == [LAYER]


def test_keys_of_three_kinds_in_one_file(places):
    attention = LAYER.removesuffix(".to_q")
    old = {f"unet.{attention}.to_k.lora.down.weight": A, f"unet.{attention}.to_k.lora.up.weight": B}
    first = f"unet.{attention}.processor.to_out_lora"
    older = {f"{first}.down.weight": A, f"{first}.up.weight": B}
    lora = GRAMMAR.read(keys(f"unet.{LAYER}") | old | older, {}, places)
    assert set(lora.unet) == {LAYER, f"{attention}.to_k", f"{attention}.to_out.0"}
    assert all(factors.A is A and factors.B is B for factors in lora.unet.values())
    with pytest.raises(ValueError, match="a second time"):
        GRAMMAR.read(keys(f"unet.{attention}.to_k") | old, {}, places)


def test_a_configuration_of_another_network_is_refused(places):
    config = json.dumps({"unet.r": 2, "text_encoder_2.r": 2})
    with pytest.raises(
        ValueError, match=f"{PEFT} is about 'text_encoder_2', wanted unet and text_"
    ):
        GRAMMAR.read(keys(f"unet.{LAYER}"), {PEFT: config}, places)
