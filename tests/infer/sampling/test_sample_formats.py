"""`latentgeo sample --model PATH+LORA`: one picture, whatever layout and grammar it is from.

The weights are rounded to float16 first, so that a file that holds them so holds the same numbers.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from latentgeo.core.run.main import main
from latentgeo.models.formats.convert import convert
from latentgeo.models.formats.files.shards import Packing
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.models.formats.lora.adapter import Factors, Lora, places_of
from latentgeo.models.formats.lora.files import GRAMMARS, write_lora_file
from latentgeo.models.formats.textual_inversion import write_embeddings

SHARDS = Packing(shard_size=50_000)
LAYOUTS = {  # how each is written: in which layout and dtype, over which files
    "ours": ("latentgeo", torch.float32, Packing()),
    "theirs": (None, torch.float32, Packing()),
    "bin": (None, torch.float32, Packing()),
    "shards": (None, torch.float32, SHARDS),
    "bin-shards": (None, torch.float32, SHARDS),
    "fp16": (None, torch.float16, Packing(variant="fp16")),
    "fp16-shards": (None, torch.float16, replace(SHARDS, variant="fp16")),
    "one.safetensors": (None, torch.float32, Packing()),
    "half.safetensors": (None, torch.float16, Packing()),
    "one.ckpt": (None, torch.float32, Packing()),
}


def pickled(folder: Path) -> None:
    """Turn a folder's safetensors into .bin, with the names that diffusers had for them."""
    for path in sorted(folder.rglob("*.safetensors*")):
        name = path.name.replace("safetensors", "bin")
        name = f"pytorch_{name}" if path.parent.name == "text_encoder" else name
        if path.suffix == ".json":
            table = json.loads(path.read_text())
            homes = {
                key: home.replace("safetensors", "bin") for key, home in table["weight_map"].items()
            }
            if path.parent.name == "text_encoder":
                homes = {key: f"pytorch_{home}" for key, home in homes.items()}
            path.with_name(name).write_text(json.dumps({"weight_map": homes}))
        else:
            torch.save(load_file(path), path.with_name(name))
        path.unlink()


@pytest.fixture(scope="module")
def rounded(tiny, tmp_path_factory) -> Path:
    """The tiny model with weights that float16 can hold."""
    folder = tmp_path_factory.mktemp("rounded")
    convert(tiny.model, folder, "latentgeo", dtype=torch.float16)
    return folder


@pytest.fixture(scope="module")
def place(rounded, tmp_path_factory) -> Path:
    """A folder with the model in every layout, and one LoRA in every grammar."""
    folder = tmp_path_factory.mktemp("formats")
    for name, (layout, dtype, packing) in LAYOUTS.items():
        convert(rounded, folder / name, layout, dtype=dtype, packing=packing)
    for name in ("bin", "bin-shards"):
        pickled(folder / name)
        assert not [*(folder / name).rglob("*.safetensors*")]
    places = places_of(load_text_to_image(rounded))
    generator = torch.Generator().manual_seed(2)

    def factors(shape) -> Factors:
        A, B = (
            torch.randn(2, shape[1], generator=generator),
            torch.randn(shape[0], 2, generator=generator),
        )
        return Factors(A, 0.1 * B)

    lora = Lora(
        unet={layer: factors(shape) for layer, shape in places.unet.items() if ".attn" in layer},
        text={layer: factors(shape) for layer, shape in places.text.items() if "_attn" in layer},
    )
    for grammar in GRAMMARS.values():
        write_lora_file(folder / f"{grammar.name}.safetensors", lora, grammar, places)
    write_embeddings(folder / "token.bin", {"<cat>": torch.ones(2, 16)})
    return folder


def draw(out: Path, *words: object) -> bytes:
    settings = ["--prompts", "a <cat>", "--steps", "2", "--guidance", "2", "--device", "cpu"]
    assert main(["sample", *map(str, words), *settings, "--out", str(out)]) == 0
    with Image.open(out / "0000-seed0.png") as picture:
        return picture.tobytes()


@pytest.fixture(scope="module")
def plain(rounded, tmp_path_factory) -> bytes:
    """What the model draws on its own."""
    return draw(tmp_path_factory.mktemp("plain"), "--model", rounded)


@pytest.fixture(scope="module")
def adapted(place, tmp_path_factory) -> bytes:
    """What it draws with the LoRA."""
    spec = f"{place / 'ours'}+{place / 'peft.safetensors'}@0.7"
    return draw(tmp_path_factory.mktemp("adapted"), "--model", spec)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_draws_the_same(place, plain, tmp_path, layout):
    assert draw(tmp_path, "--model", place / layout) == plain


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("grammar", GRAMMARS)
def test_every_layout_with_every_grammar_draws_the_same(
    place, plain, adapted, tmp_path, layout, grammar
):
    spec = f"{place / layout}+{place / grammar}.safetensors@0.7"
    assert draw(tmp_path, "--model", spec) == adapted != plain


def test_a_lora_is_a_flag_too(place, adapted, tmp_path):
    words = ("--lora", "kohya", "--lora-scale", "0.7")
    assert draw(tmp_path, "--model", place / "one.ckpt", *words) == adapted


def test_learned_tokens_change_what_their_prompt_draws(place, plain, tmp_path):
    words = ("--model", place / "theirs", "--embeddings", place / "token.bin")
    assert draw(tmp_path, *words) != plain


def test_files_that_do_not_fit_are_one_line_and_status_2(place, tmp_path, capsys):
    model = str(place / "theirs")
    for words, message in (
        (
            ("--model", f"{model}+{place / 'one.ckpt'}"),
            "looks like Stable Diffusion 1.x in one file",
        ),
        (("--model", str(place / "kohya.safetensors")), "looks like LoRA"),
        (("--model", model, "--embeddings", str(place / "peft.safetensors")), "looks like LoRA"),
        (("--model", str(place / "gone.ckpt")), "does not exist; wanted a model"),
    ):
        assert main(["sample", *words, "--prompts", "a", "--out", str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
