"""`latentgeo convert`: bit for bit through every layout, and what cannot be converted."""

import pytest
import torch
from safetensors.torch import load_file

from latentgeo.core.run.main import main
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.clip.file import read_clip, write_clip
from latentgeo.models.formats.convert import kind_of
from latentgeo.models.formats.inception_file import write_inception
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.models.formats.lora.files import GRAMMARS, read_lora_file, write_lora_file
from latentgeo.models.formats.textual_inversion import read_embeddings, write_embeddings
from tests.models.test_inception import network


def run(source, target, *words) -> int:
    return main(["convert", "--from", str(source), "--to", str(target), *map(str, words)])


@pytest.fixture(scope="module")
def ours(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("convert") / "ours"
    save_bundle(tiny, folder)
    return folder


def test_a_model_through_all_layouts_is_the_same(tiny, same, ours, tmp_path, capsys):
    chain = [
        (tmp_path / "theirs",),
        (tmp_path / "one.safetensors",),
        (tmp_path / "one.ckpt",),
        (tmp_path / "back", "--layout", "latentgeo"),
    ]
    source = ours
    for target, *words in chain:
        assert run(source, target, *words) == 0
        assert capsys.readouterr().out.startswith(f"{target}: ")
        assert same(load_text_to_image(target, dtype=None), tiny)
        source = target
    assert load_file(source / "unet.safetensors").keys() == tiny.unet.state_dict().keys()
    for name in ("unet", "vae", "text"):
        same_bytes = (source / f"{name}.safetensors").read_bytes() == (
            ours / f"{name}.safetensors"
        ).read_bytes()
        assert same_bytes


def test_another_dtype(tiny, ours, tmp_path):
    assert run(ours, tmp_path / "half.safetensors", "--dtype", "fp16") == 0
    half = load_text_to_image(tmp_path / "half.safetensors", dtype=None)
    for key, value in tiny.vae.state_dict().items():
        assert torch.equal(half.vae.state_dict()[key], value.half())


def test_shards_of_a_variant(tiny, ours, tmp_path):
    words = ("--dtype", "fp16", "--variant", "fp16", "--shard-size", "1.5e-4")
    assert run(ours, tmp_path / "half", *words) == 0
    unet = tmp_path / "half" / "unet"
    assert (unet / "diffusion_pytorch_model.safetensors.index.fp16.json").is_file()
    assert len(list(unet.glob("diffusion_pytorch_model.fp16-*-of-*.safetensors"))) > 1
    half = load_text_to_image(tmp_path / "half", dtype=None)
    for key, value in tiny.unet.state_dict().items():
        assert torch.equal(half.unet.state_dict()[key], value.half())


def test_a_lora_from_grammar_to_grammar(ours, tmp_path, places, lora_on, same_lora, capsys):
    lora = lora_on(unet=("attn1.", "conv1"), text=("fc1",), alpha=4.0)
    path = write_lora_file(tmp_path / "a.safetensors", lora, GRAMMARS["kohya-ldm"], places)
    assert run(path, tmp_path / "b.safetensors", "--layout", "peft", "--model", ours) == 0
    assert same_lora(read_lora_file(tmp_path / "b.safetensors", places)[0], lora)
    assert "kohya-ldm to peft" in capsys.readouterr().out
    words = ("--layout", "diffusers", "--model", ours)
    assert run(path, tmp_path / "c.safetensors", *words) == 2
    assert "diffusers cannot say this LoRA: it has no α" in capsys.readouterr().err
    assert run(path, tmp_path / "c.safetensors", *words, "--fold") == 0
    folded, _ = read_lora_file(tmp_path / "c.safetensors", places)
    assert all(f.alpha is None for _, _, f in folded)
    for part, layer, factors in lora:
        assert torch.equal(folded.part(part)[layer].B, 2 * factors.B)  # α / r is 2
    assert (
        run(
            path,
            tmp_path / "d.safetensors",
            "--layout",
            "kohya",
            "--model",
            ours,
            "--dtype",
            "bf16",
        )
        == 0
    )
    half, _ = read_lora_file(tmp_path / "d.safetensors", places)
    assert {f.A.dtype for _, _, f in half} == {torch.bfloat16}


def test_clip_through_all_layouts(clip, tmp_path, capsys):
    start = write_clip(clip, tmp_path / "start.safetensors", "transformers")
    chain = [("a.pt", "--layout", "openai"), ("b",), ("c.pt", "--layout", "openai"), ("d.bin",)]
    source = start
    for name, *words in chain:
        assert kind_of(source) == "clip"
        assert run(source, tmp_path / name, *words) == 0
        grammar = words[-1] if words else "transformers"
        said = f"{tmp_path / name}: CLIP patch 7, widths 24 and 32 as {grammar}\n"
        assert capsys.readouterr().out == said
        source = tmp_path / name
    assert run(source, tmp_path / "end.safetensors") == 0
    assert (tmp_path / "end.safetensors").read_bytes() == start.read_bytes()
    assert run(source, tmp_path / "half.pt", "--dtype", "fp16") == 0
    assert {v.dtype for v in read_clip(tmp_path / "half.pt", dtype=None).parameters()} == {
        torch.float16
    }
    assert run(start, tmp_path / "x", "--layout", "ldm") == 2
    assert "--layout: got 'ldm' for clip, wanted transformers, openai" in capsys.readouterr().err


def test_layouts_of_other_networks_are_refused(ours, tmp_path, capsys):
    assert run(ours, tmp_path / "x", "--layout", "openai") == 2
    assert "--layout: got 'openai', which is for another network" in capsys.readouterr().err


def test_inception_to_safetensors_and_back(tmp_path, capsys):
    first = write_inception(network(), tmp_path / "a.pth")
    assert kind_of(first) == "inception"
    assert run(first, tmp_path / "b.safetensors") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'b.safetensors'}: Inception as pytorch-fid\n"
    state = torch.load(first, weights_only=True)
    found = load_file(tmp_path / "b.safetensors")
    assert state.keys() == found.keys() and all(torch.equal(state[k], found[k]) for k in state)
    assert run(first, tmp_path / "c.pth", "--layout", "openai") == 2
    assert "for inception, wanted pytorch-fid" in capsys.readouterr().err


def test_learned_tokens(tmp_path, capsys):
    tokens = {"<cat>": torch.randn(3, 16)}
    write_embeddings(tmp_path / "a.bin", tokens)
    assert run(tmp_path / "a.bin", tmp_path / "b.safetensors") == 0
    assert torch.equal(read_embeddings(tmp_path / "b.safetensors")["<cat>"], tokens["<cat>"])
    assert "learned tokens <cat>" in capsys.readouterr().out


def test_kinds(ours, tmp_path, places, lora_on):
    path = write_lora_file(
        tmp_path / "a.safetensors", lora_on(unet=("attn1.",)), GRAMMARS["peft"], places
    )
    assert kind_of(path) == "lora" and kind_of(ours) == "model"
    assert kind_of(write_embeddings(tmp_path / "b.bin", {"<a>": torch.ones(1, 16)})) == "tokens"
    path.rename(tmp_path / "adapter_model.safetensors")
    assert kind_of(tmp_path) == "lora"


@pytest.mark.parametrize(
    ("target", "words", "message"),
    [
        (
            "x",
            ("--layout", "kohya"),
            "--layout: got 'kohya', which is for LoRA, wanted latentgeo, diffusers, ldm",
        ),
        ("x", ("--layout", "ldm"), r"wanted a name that ends in .safetensors or .ckpt"),
        ("x.ckpt", ("--layout", "diffusers"), "wanted a folder"),
        ("x", ("--layout", "safe"), "--layout: got 'safe', wanted one of"),
        (
            "x.ckpt",
            ("--variant", "fp16"),
            "--layout: got 'ldm'; --shard-size and --variant are for Stable Diffusion",
        ),
        ("x", ("--shard-size", "0"), "--shard-size must be positive and finite, got 0.0"),
        ("x", ("--variant", "a.b"), "variant must be a word such as fp16, got 'a.b'"),
    ],
)
def test_wrong_layouts_are_refused(ours, tmp_path, capsys, target, words, message):
    assert run(ours, tmp_path / target, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / target).exists()


def test_a_lora_needs_a_grammar(tmp_path, places, lora_on, capsys):
    path = write_lora_file(
        tmp_path / "a.safetensors", lora_on(unet=("attn1.",)), GRAMMARS["peft"], places
    )
    assert run(path, tmp_path / "b.safetensors") == 2
    assert (
        "got none, wanted that of a LoRA: attn-procs, diffusers, peft, kohya"
        in capsys.readouterr().err
    )
    assert run(path, tmp_path / "b.safetensors", "--shard-size", "1") == 2
    assert "is a LoRA; --shard-size and --variant are for" in capsys.readouterr().err
    assert run(path, tmp_path / "b.safetensors", "--layout", "kohya") == 2  # not SD 1.5's layers
    assert "does not fit" in capsys.readouterr().err


def test_what_is_not_there_is_named(tmp_path, capsys):
    assert run(tmp_path / "gone", tmp_path / "x") == 2
    assert "gone" in capsys.readouterr().err
    assert main(["convert", "--from", "a"]) == 2
    assert "--to is required" in capsys.readouterr().err
