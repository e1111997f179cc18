"""A folder of diffusers: what it writes is read, what we write it reads, and nothing half loads."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.models.formats.diffusers.folder import (
    old_name,
    read_config,
    read_folder,
    weights_file,
    write_folder,
)
from latentgeo.models.vae import VAE, VAEConfig

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE_FILE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def folder(tiny, tmp_path):
    return write_folder(tiny, tmp_path / "tiny")


def change(path, edit):
    state = load_file(path)
    save_file(edit(state) or state, path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_round_trip_is_bit_exact(tiny, same, tmp_path, dtype):
    back = read_folder(write_folder(tiny, tmp_path / "a", dtype), dtype=None)
    for part, module in tiny.modules.items():
        found = back.modules[part].state_dict()
        for key, value in module.state_dict().items():
            assert torch.equal(found[key], value.to(dtype)) and found[key].dtype == dtype
    again = read_folder(write_folder(back, tmp_path / "b"), dtype=None)
    assert same(again, back)
    if dtype == torch.float32:
        assert same(back, tiny)


def test_every_published_name_is_met_exactly_once(manifest):
    """The autoencoder's old names too: 248 of them, eight in another spelling."""
    with torch.device("meta"):
        keys = [*VAE(VAEConfig()).state_dict()]
    assert set(keys) == manifest("sd15_vae_diffusers")["keys"].keys()
    old = [old_name(key) for key in keys]
    assert len(set(old)) == len(keys)
    changed = {key: name for key, name in zip(keys, old, strict=True) if key != name}
    assert len(changed) == 16  # weight and bias of four projections, in either half
    start = "decoder.mid_block.attentions.0."
    assert changed[f"{start}to_out.0.bias"] == f"{start}proj_attn.bias"
    assert changed[f"{start}to_q.weight"] == f"{start}query.weight"


def test_old_names_of_the_autoencoders_attention(tiny, same, folder):
    change(folder / VAE_FILE, lambda state: {old_name(key): v for key, v in state.items()})
    assert same(read_folder(folder), tiny)


def test_names_of_both_versions_of_the_text_encoder(tiny, same, folder):
    """Ours is version 4's; version 5 has no prefix, and old files have position ids."""
    change(
        folder / TEXT, lambda state: {k.removeprefix("text_model."): v for k, v in state.items()}
    )
    assert same(read_folder(folder), tiny)
    ids = torch.arange(77)[None]
    change(folder / TEXT, lambda state: {**state, "embeddings.position_ids": ids})
    assert same(read_folder(folder), tiny)


def test_bin_files_and_variants(tiny, same, folder):
    for name in (UNET, VAE_FILE, TEXT):
        path = folder / name
        stem = "pytorch_model" if name == TEXT else path.stem
        torch.save(load_file(path), path.with_name(f"{stem}.fp16.bin"))
        path.unlink()
    assert same(read_folder(folder), tiny)
    assert weights_file(folder, "text").name == "pytorch_model.fp16.bin"


def shard(path, parts=3):
    """Split a file into shards with an index, as diffusers and transformers name them."""
    state = load_file(path)
    homes = {}
    for i in range(parts):
        name = f"{path.stem}-{i + 1:05d}-of-{parts:05d}{path.suffix}"
        part = {key: state[key] for key in list(state)[i::parts]}
        save_file(part, path.with_name(name))
        homes |= dict.fromkeys(part, name)
    path.unlink()
    index = path.with_name(f"{path.name}.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return index


def test_shards(tiny, same, folder):
    for name in (UNET, VAE_FILE, TEXT):
        shard(folder / name)
    assert same(read_folder(folder), tiny)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("sharded", [False, True])
def test_names_of_compiled_and_parallel_modules(tiny, same, folder, prefix, sharded):
    for name in (UNET, VAE_FILE, TEXT):
        change(folder / name, lambda state: {prefix + key: v for key, v in state.items()})
        if sharded:
            shard(folder / name)
    assert same(read_folder(folder), tiny)


def test_sharded_variants(tiny, same, folder):
    index = shard(folder / UNET)
    index.rename(index.with_name(index.name.replace(".index.json", ".index.fp16.json")))
    assert same(read_folder(folder), tiny)


def test_the_order_in_which_files_are_taken(folder):
    """safetensors before .bin, plain before a variant; two variants alone are refused."""
    unet = folder / "unet"
    plain, stem = folder / UNET, "diffusion_pytorch_model"
    for name in (f"{stem}.bin", f"{stem}.fp16.safetensors"):
        shutil.copy(plain, unet / name)
    assert weights_file(folder, "unet") == plain
    plain.unlink()
    assert weights_file(folder, "unet").name == f"{stem}.bin"
    (unet / f"{stem}.bin").unlink()
    assert weights_file(folder, "unet").name == f"{stem}.fp16.safetensors"
    shutil.copy(unet / f"{stem}.fp16.safetensors", unet / f"{stem}.non_ema.safetensors")
    with pytest.raises(ValueError, match=r"variants .*fp16\.safetensors, .*non_ema\.safetensors"):
        weights_file(folder, "unet")


def test_a_part_of_another_family_is_named(folder, tiny):
    shutil.copy(folder / VAE_FILE, folder / UNET)
    with pytest.raises(ValueError, match=r"unet.* does not fit: it looks like a KL autoencoder"):
        read_folder(folder)


def test_errors_list_what_does_not_fit(folder):
    def edit(state):
        del state["conv_in.bias"]
        return {**state, "conv_out.bias": torch.ones(3), "more": torch.ones(1)}

    change(folder / UNET, edit)
    with pytest.raises(ValueError) as caught:
        read_folder(folder)
    for said in (
        "conv_out.bias is (3,), wanted (4,)",
        "missing conv_in.bias (8,)",
        "unexpected more",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        UNET,
        "tokenizer/vocab.json",
    ],
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.rpartition("/")[2].split(".")[0]):
        read_folder(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            {"unet": ["diffusers", "UNet2DModel"]},
            "a model without text, wanted one with text",
        ),
        ({"text_encoder": None}, "text_encoder is None, wanted CLIPTextModel"),
        ({"tokenizer": ["transformers", "T5Tokenizer"]}, "tokenizer is 'T5Tokenizer'"),
        (
            {"text_encoder_2": ["transformers", "X"], "_class_name": "StableDiffusionXLPipeline"},
            "text_encoder_2 is 'X', wanted none, as SD 1.x has it; this is of a StableDiffusionXL",
        ),
    ],
)
def test_other_pipelines_are_refused_by_name(folder, edit, message):
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
    with pytest.raises(ValueError, match=message):
        read_config(folder)


def test_broken_json_is_named(folder):
    (folder / "unet" / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is no JSON"):
        read_config(folder)


def state_of(pipeline):
    parts = {"unet": pipeline.unet, "vae": pipeline.vae, "text": pipeline.text_encoder}
    return {part: module.state_dict() for part, module in parts.items()}


@pytest.mark.parametrize("how", ["plain", "shards", "bin", "fp16"])
def test_reads_what_diffusers_writes(pipeline, tmp_path, how):
    options = {
        "plain": {},
        "shards": {"max_shard_size": "100KB"},
        "bin": {"safe_serialization": False},
        "fp16": {"variant": "fp16"},
    }
    pipeline.save_pretrained(tmp_path, **options[how])
    found = read_folder(tmp_path, dtype=None)
    for part, state in state_of(pipeline).items():
        ours = found.modules[part].state_dict()
        assert {key.removeprefix("text_model.") for key in state} == ours.keys()
        for key, value in state.items():
            assert torch.equal(ours[key.removeprefix("text_model.")], value)
    assert found.config.sampling.size == 32
    assert found.config.sampling.final == "first" and found.config.sampling.offset == 1


def test_diffusers_reads_what_we_write(tiny, folder):
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    for part, state in state_of(theirs).items():
        ours = tiny.modules[part].state_dict()
        assert len(state) == len(ours)
        for key, value in state.items():
            assert torch.equal(ours[key.removeprefix("text_model.")], value), key
    assert theirs.tokenizer("a smiling face").input_ids[1:-1] == tiny.tokenizer.encode(
        "a smiling face"
    )
