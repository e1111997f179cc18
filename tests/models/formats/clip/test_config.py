"""CLIPModel's config.json: published forms of it, both ways, and what our networks do not have."""

from dataclasses import replace

import pytest

from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.clip_vision import CLIPConfig
from latentgeo.models.formats.clip.config import (
    looks_like_clip,
    read_clip_config,
    write_clip_config,
)

OLD = {  # what transformers 4 wrote into every table
    "_name_or_path": "",
    "add_cross_attention": False,
    "bos_token_id": 0,
    "chunk_size_feed_forward": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "pad_token_id": 1,
    "projection_dim": 768,
    "repetition_penalty": 1.0,
    "return_dict": True,
    "temperature": 1.0,
    "tie_word_embeddings": True,
    "top_k": 50,
    "top_p": 1.0,
    "torch_dtype": None,
    "transformers_version": "4.16.0.dev0",
    "typical_p": 1.0,
}
LARGE = {
    "text": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
    },
    "vision": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
    },
}


def test_what_is_not_said_is_vit_b_32():
    tables = {"text_config": {}, "vision_config": {}}
    assert read_clip_config(tables, "here") == CLIP_PRESETS["vit-b-32"]
    found = {"model_type": "clip", "text_config": None, "vision_config": None}
    assert read_clip_config(found, "here") == CLIP_PRESETS["vit-b-32"]


@pytest.mark.parametrize("older", [False, True])
def test_published_files_of_vit_l_14(older):
    """With the end of text at 2, and with the settings in `…_config_dict`, as its own file has."""
    data = {"architectures": ["CLIPModel"], "logit_scale_init_value": 2.6592, "model_type": "clip"}
    data |= {"projection_dim": 768, "torch_dtype": "float32", "initializer_factor": 1.0}
    for part, table in LARGE.items():
        kind = {"model_type": f"clip_{part}_model"}
        data[f"{part}_config"] = OLD | kind | ({} if older else table)
        data[f"{part}_config_dict"] = table if older else None
    assert read_clip_config(data, "here") == CLIP_PRESETS["vit-l-14"]


@pytest.mark.parametrize("preset", CLIP_PRESETS)
def test_a_configuration_comes_back(preset):
    config = CLIP_PRESETS[preset]
    gelu = replace(config, vision=replace(config.vision, activation="gelu", eps=1e-6), end=3)
    for one in (config, gelu):
        written = write_clip_config(one)
        assert looks_like_clip(written) and read_clip_config(written, "here") == one


def test_transformers_reads_what_is_written():
    transformers = pytest.importorskip("transformers")
    config: CLIPConfig = CLIP_PRESETS["vit-l-14"]
    theirs = transformers.CLIPConfig(**write_clip_config(config))
    assert theirs.projection_dim == theirs.text_config.projection_dim == 768
    assert theirs.vision_config.num_hidden_layers == 24 and theirs.vision_config.patch_size == 14
    assert read_clip_config(theirs.to_dict(), "theirs") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision_config": {"num_channels": 4}}, "vision_config: num_channels is 4, wanted 3"),
        ({"vision_config": {"rope": True}}, "rope is True, wanted it off"),
        ({"text_config": {"attention_dropout": 0.1}}, "attention_dropout is 0.1, wanted it off"),
        ({"vision_config": {"intermediate_size": 100}}, "intermediate_size is 100, wanted a mult"),
        ({"vision_config": {"hidden_act": "relu"}}, "hidden_act is 'relu', wanted one of"),
        ({"model_type": "siglip"}, "model_type is 'siglip', wanted 'clip'"),
        ({"qformer_config": {"a": 1}}, "qformer_config is .*, wanted it off"),
    ],
)
def test_what_our_networks_do_not_have_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_clip_config({"text_config": {}, "vision_config": {}} | change, "config.json")


def test_other_programs_settings_are_told_apart():
    assert not looks_like_clip({"model_type": "clip_text_model", "hidden_size": 768})
    assert not looks_like_clip({"unet": {}, "vae": {}})
