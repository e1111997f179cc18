"""CLIP from folders and files of both grammars, bit for bit, and what is refused by which name."""

import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.file import is_clip_folder, read_clip, tokenizer_of, write_clip
from latentgeo.models.formats.clip.names import GRAMMARS
from tests.models.formats.conftest import ENCODERS
from tests.models.formats.openai_clip import openai_clip

SUFFIXES = ["", ".safetensors", ".pt"]


def same(one: CLIP, other: CLIP) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return (
        one.config == other.config
        and a.keys() == b.keys()
        and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)
    )


def states(clip):
    return dict(clip.state_dict())


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_a_file_comes_back_bit_for_bit(clip, tmp_path, grammar, suffix):
    path = write_clip(clip, tmp_path / f"clip{suffix}", grammar)
    found = read_clip(path, dtype=None)
    assert same(found, clip)
    assert not found.training and not any(p.requires_grad for p in found.parameters())


def test_a_folder_comes_back_bit_for_bit(clip, tmp_path):
    folder = write_clip(clip, tmp_path / "clip", "transformers")
    assert is_clip_folder(folder) and same(read_clip(folder, dtype=None), clip)
    assert not is_clip_folder(tmp_path)


@pytest.mark.parametrize("order", [("transformers", "openai"), ("openai", "transformers")])
def test_through_both_grammars_the_bytes_are_the_same(clip, tmp_path, order):
    mixed = CLIP(ENCODERS)
    state = {k: v.half() if "mlp" in k or "attn" in k else v for k, v in states(clip).items()}
    mixed.load_state_dict(state, assign=True)
    first = write_clip(mixed, tmp_path / "a.safetensors", order[0])
    between = write_clip(read_clip(first, dtype=None), tmp_path / "b.pt", order[1])
    last = write_clip(read_clip(between, dtype=None), tmp_path / "c.safetensors", order[0])
    assert last.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_dtype(clip, tmp_path, dtype):
    path = write_clip(clip, tmp_path / "clip.pt", "openai", dtype)
    for read in (read_clip(path, dtype=None), read_clip(path, dtype=dtype)):
        assert all(torch.equal(v, states(clip)[k].to(dtype)) for k, v in read.state_dict().items())


@pytest.mark.parametrize("counts", [True, False])
def test_published_names_from_another_writer(tmp_path, counts):
    """A state dict with the counting buffers of OpenAI's archives, or without them."""
    judge = openai_clip(ENCODERS, counts)
    torch.save(judge.state_dict() | {"latentgeo": settings(ENCODERS)}, tmp_path / "clip.pt")
    ours = read_clip(tmp_path / "clip.pt")
    layer = judge.visual.transformer.resblocks[1].attn
    k = ours.vision_model.encoder.layers[1].self_attn.k_proj
    assert torch.equal(k.weight, layer.in_proj_weight[24:48])
    assert torch.equal(k.bias, layer.in_proj_bias[24:48])
    assert torch.equal(ours.visual_projection.weight, judge.visual.proj.T)


def settings(config) -> str:
    from latentgeo.models.formats.clip.config import write_clip_config

    return json.dumps(write_clip_config(config))


def test_a_torchscript_archive_is_refused_and_the_way_out_is_one(tmp_path):
    """OpenAI's own kind of file: refused by its family, and loaded once it is a state dict."""
    wide = replace(ENCODERS, vision=replace(ENCODERS.vision, width=64, heads=1, layers=1))
    wide = replace(wide, text=replace(ENCODERS.text, width=64, heads=1, layers=1))
    judge, path = openai_clip(wide), tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, that TorchScript is on its way out
        torch.jit.script(judge).save(path)
        with pytest.raises(ValueError, match=r"TorchScript archive.*torch\.save\(torch\.jit\.load"):
            read_clip(path)
        torch.save(torch.jit.load(path).state_dict(), tmp_path / "weights.pt")
    ours = read_clip(tmp_path / "weights.pt")
    assert ours.config == wide
    x = torch.rand(2, 3, 21, 21, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours.visual_projection(ours.vision_model(x)), judge.visual(x))


def test_a_file_without_settings_has_the_heads_of_openais(tmp_path):
    """One per 64 of width, which a file that fits it does not need to say."""
    wide = replace(
        ENCODERS,
        vision=replace(ENCODERS.vision, width=128, heads=2, layers=1),
        text=replace(ENCODERS.text, width=192, heads=3, layers=1),
    )
    judge = openai_clip(wide)
    torch.save(judge.state_dict(), tmp_path / "clip.pt")
    ours = read_clip(tmp_path / "clip.pt")
    assert ours.config == wide
    for name in ("again.pt", "again.safetensors"):
        path = write_clip(ours, tmp_path / name, "openai")
        assert b"latentgeo" not in path.read_bytes() and same(read_clip(path), ours)
    judge.load_state_dict(torch.load(tmp_path / "again.pt", weights_only=True), strict=False)


def test_position_ids_of_older_files_are_passed_over(clip, tmp_path):
    folder = write_clip(clip, tmp_path / "clip", "transformers")
    state = load_file(folder / "model.safetensors")
    for part in ("text", "vision"):
        state[f"{part}_model.embeddings.position_ids"] = torch.arange(10)[None]
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert same(read_clip(folder), clip)


def test_transformers_reads_the_folder_and_ours_reads_its(clip, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = write_clip(clip, tmp_path / "ours", "transformers")
    theirs = transformers.CLIPModel.from_pretrained(folder)
    assert all(torch.equal(v, states(clip)[k]) for k, v in theirs.state_dict().items())
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)(["an old man"])["input_ids"][0]
    ours = tokenizer_of(clip.config)(["an old man"])[0, : len(tokens)].tolist()
    assert tokens == ours
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert len([*(tmp_path / "theirs").glob("*.safetensors")]) > 1
    assert same(read_clip(tmp_path / "theirs"), clip)


def test_one_error_lists_all_that_does_not_fit(clip, tmp_path):
    path = write_clip(clip, tmp_path / "clip.safetensors", "openai")
    state = load_file(path)
    del state["visual.transformer.resblocks.1.attn.in_proj_bias"]
    state["ln_final.bias"] = torch.ones(5)
    state["visual.layer1.conv.weight"] = torch.ones(3)
    save_file(state, path, {"latentgeo": settings(ENCODERS)})
    with pytest.raises(ValueError) as caught:
        read_clip(path)
    said = str(caught.value)
    assert "ln_final.bias is (5,), wanted (32,)" in said
    assert said.count("missing visual.transformer.resblocks.1.attn.in_proj_bias (72,)") == 1
    assert said.count("unexpected visual.layer1.conv.weight (3,)") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("visual.attnpool.positional_embedding", "looks like CLIP with a ResNet"),
        ("vision_model.embeddings.patch_embedding.weight", "CLIP's image encoder alone"),
        ("Mixed_5b.branch1x1.conv.weight", "looks like no family that is known"),
    ],
)
def test_other_families_are_named(tmp_path, name, message):
    state = {name: torch.ones(3, 4), "token_embedding.weight": torch.ones(2, 3)}
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=message):
        read_clip(tmp_path / "x.safetensors")


def test_missing_files_and_other_tokenizers(clip, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        read_clip(tmp_path / "gone.pt")
    folder = write_clip(clip, tmp_path / "clip", "transformers")
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"new": 523}))
    with pytest.raises(ValueError, match="is not CLIP's vocabulary of 523 symbols"):
        read_clip(folder)
    (folder / "vocab.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted model\.safetensors"):
        read_clip(folder)


def test_a_folder_has_no_names_of_openais(clip, tmp_path):
    with pytest.raises(ValueError, match=r"openai is one file, wanted a name in \.safetensors"):
        write_clip(clip, tmp_path / "folder", "openai")
    assert not (tmp_path / "folder").exists()
