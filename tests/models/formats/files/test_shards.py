"""Shards and variants: names as diffusers and transformers have them, and which tensor is where."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file

from latentgeo.models.formats.diffusers.folder import STEMS, read_folder, weights_file, write_folder
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.shards import Packing, write_weights

LIMIT = 150_000  # bytes: some shards of each tiny network


def names(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()}


def weights(folder) -> set[str]:
    return {name for name in names(folder) if "safetensors" in name}


def test_tensors_fill_one_file_after_the_other():
    """In their order; what is larger than a file has one of its own."""
    sizes = {"a": 3, "b": 2, "c": 2, "d": 7, "e": 1, "f": 4}
    state = {name: torch.zeros(size, dtype=torch.uint8) for name, size in sizes.items()}
    parts = Packing(shard_size=5).parts(state)
    assert parts == [["a", "b"], ["c"], ["d"], ["e", "f"]]
    assert Packing(shard_size=7).parts(state) == [["a", "b", "c"], ["d"], ["e", "f"]]
    assert Packing(shard_size=19).parts(state) == Packing().parts(state) == [[*sizes]]


def test_an_index_says_where_each_tensor_is(tmp_path):
    state = {name: torch.full((3,), i) for i, name in enumerate("abcde")}
    index = write_weights(tmp_path, "model", state, Packing(shard_size=2 * 24))
    assert index == tmp_path / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    assert table["metadata"]["total_size"] == 5 * 24
    assert table["weight_map"]["c"] == "model-00002-of-00003.safetensors"
    for name, home in table["weight_map"].items():
        assert torch.equal(load_file(tmp_path / home)[name], state[name])
    assert {name: int(open_source(index).read(name)[0]) for name in state} == dict(
        zip("abcde", range(5), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shard_size", [None, LIMIT])
def test_a_round_trip_is_bit_exact(tiny, tmp_path, shard_size, variant, dtype):
    packing = Packing(variant=variant, shard_size=shard_size)
    back = read_folder(write_folder(tiny, tmp_path, dtype, packing), dtype=None)
    for part, module in tiny.modules.items():
        found = back.modules[part].state_dict()
        for key, value in module.state_dict().items():
            assert torch.equal(found[key], value.to(dtype)) and found[key].dtype == dtype
    largest = max((tmp_path / name).stat().st_size for name in weights(tmp_path))
    assert (largest < 2 * LIMIT) == (shard_size is not None)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shard_size", [None, LIMIT])
def test_files_are_called_as_diffusers_calls_them(pipeline, tmp_path, shard_size, variant):
    """Both write one pipeline: the names are equal but for the number of shards."""
    limit = {} if shard_size is None else {"max_shard_size": shard_size}
    pipeline.save_pretrained(tmp_path / "theirs", variant=variant, **limit)
    packing = Packing(variant=variant, shard_size=shard_size)
    write_folder(read_folder(tmp_path / "theirs"), tmp_path / "ours", packing=packing)
    theirs, ours = (
        {re.sub(r"\d{5}-of-\d{5}", "N-of-N", name) for name in weights(tmp_path / whose)}
        for whose in ("theirs", "ours")  # the order of tensors, and so the count, is their own
    )
    assert theirs == ours
    assert any("N-of-N" in name for name in ours) == (shard_size is not None)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shard_size", [None, LIMIT])
def test_diffusers_reads_what_we_write(tiny, tmp_path, shard_size, variant):
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    write_folder(tiny, tmp_path, torch.float16, Packing(variant=variant, shard_size=shard_size))
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(
        tmp_path, variant=variant, torch_dtype=torch.float16, local_files_only=True
    )
    parts = {"unet": theirs.unet, "vae": theirs.vae, "text": theirs.text_encoder}
    for part, peer in parts.items():
        ours = tiny.modules[part].state_dict()
        state = {key.removeprefix("text_model."): v for key, v in peer.state_dict().items()}
        assert state.keys() == ours.keys()
        assert all(torch.equal(value, ours[key].half()) for key, value in state.items())


def test_a_variant_may_stand_beside_plain_weights(tiny, same, tmp_path):
    write_folder(tiny, tmp_path)
    write_folder(tiny, tmp_path, torch.float16, Packing(variant="fp16", shard_size=LIMIT))
    assert same(read_folder(tmp_path, dtype=None), tiny)
    for part in STEMS:
        assert "fp16" not in weights_file(tmp_path, part).name


def test_weights_that_would_be_read_instead_are_not_written_beside(tiny, tmp_path):
    write_folder(tiny, tmp_path / "plain")
    with pytest.raises(ValueError, match=r"has diffusion_pytorch_model\.safetensors already"):
        write_folder(tiny, tmp_path / "plain", packing=Packing(shard_size=LIMIT))
    write_folder(tiny, tmp_path / "shards", packing=Packing(shard_size=LIMIT))
    with pytest.raises(ValueError, match=r"safetensors\.index\.json already, which could be read"):
        write_folder(tiny, tmp_path / "shards")
    write_folder(tiny, tmp_path / "shards", packing=Packing(shard_size=LIMIT))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "fp/16"}, "variant must be a word such as fp16, got 'fp/16'"),
        ({"variant": ""}, "variant must be a word"),
        ({"shard_size": 0}, "shard_size must be at least a byte, got 0"),
    ],
)
def test_wrong_packings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Packing(**settings)
