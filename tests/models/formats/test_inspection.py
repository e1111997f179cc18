"""`latentgeo inspect`: what it says of models, LoRAs and tokens, and of what is none of them."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.core.run.main import main
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.clip.file import write_clip
from latentgeo.models.formats.diffusers.folder import write_folder
from latentgeo.models.formats.inspection import inspect
from latentgeo.models.formats.ldm.file import write_ldm
from latentgeo.models.formats.lora.files import GRAMMARS, write_lora_file
from latentgeo.models.formats.textual_inversion import write_embeddings
from latentgeo.models.zoo.places import ZOO


def said(path, model=None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in inspect(path, model):
        found.setdefault(name, []).append(text)
    return found


@pytest.fixture
def numbers(tiny) -> str:
    return f"{sum(p.numel() for m in tiny.modules.values() for p in m.parameters()):,}"


def test_a_single_file(tiny, tmp_path, numbers):
    path = write_ldm(tiny, tmp_path / "one.safetensors", torch.float16)
    found = said(path)
    assert found["family"] == ["Stable Diffusion 1.x in one file"]
    assert found["sha256"] == [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"]
    assert found["tensors"] == [f"684, {numbers} numbers, float16 (684)"]
    assert found["parameters"] == [numbers]
    assert "channels (8, 16, 24)" in found["unet"][0] and "predicts eps" in found["schedule"][0]
    assert found["fits"] == [f"latentgeo sample --model {path} (layout ldm)"]


@pytest.mark.parametrize("write", [write_folder, lambda b, f: save_bundle(b, f) or f])
def test_folders(tiny, tmp_path, write, numbers):
    found = said(write(tiny, tmp_path / "tiny"))
    assert len(found["file"]) == len(found["sha256"]) == 3
    assert found["family"][1:] == [
        "a KL autoencoder with the names of diffusers",
        "CLIP's text encoder with the names of transformers",
    ]
    assert found["parameters"] == [numbers]


@pytest.mark.parametrize("grammar", ["attn-procs", "kohya-ldm", "cloneofsimo"])
def test_a_lora(tiny, tmp_path, places, lora_on, grammar):
    save_bundle(tiny, tmp_path / "model")
    lora = lora_on(unet=("attn1.", "attn2."), rank=lambda n: 3 if "to_q" in n else 2)
    path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS[grammar], places)
    found = said(path, tmp_path / "model")
    assert found["grammar"][0].startswith(f"{grammar} (")
    assert found["ranks"] == ["2 (66), 3 (22)"] and found["scales"] == ["1 (88)"]
    assert "attn2.to_out.0 (11)" in found["on unet"][0]
    assert found["fits"] == [str(tmp_path / "model")]
    assert said(path)["fits"][0].startswith("not Stable Diffusion 1.5: ")


def test_a_lora_of_an_embedded_model_fits_that():
    found = said(ZOO / "avatars" / "smooth_lora.safetensors")
    assert found["fits"] == ["avatars"] and found["ranks"] == ["4 (132)"]
    assert said(ZOO / "avatars" / "smooth_lora.safetensors", "avatars")["fits"] == ["avatars"]


def test_a_lora_that_fits_nothing_says_why_of_each(tmp_path, places, lora_on):
    """In a grammar that any model's layers can be read in, and in one that needs to know them."""
    lora = lora_on(unet=("attn1.",))
    for grammar, reason in (("peft", "has A "), ("kohya", "unknown key lora_unet_")):
        path = write_lora_file(tmp_path / "x.safetensors", lora, GRAMMARS[grammar], places)
        found = said(path)
        for row, name in zip(found["fits"], ("Stable Diffusion 1.5", "avatars"), strict=True):
            assert row.startswith(f"not {name}: "), row
        assert any(reason in row for row in found["fits"])
        assert "ranks" in found  # read by the names of one of them


def test_a_lora_for_another_family(tmp_path):
    save_file({"unet.x.attn2.to_k.lora_A.weight": torch.ones(2, 2048)}, tmp_path / "x.safetensors")
    assert "reads text of width 2048 (SDXL)" in said(tmp_path / "x.safetensors")["fits"][0]


def test_learned_tokens(tmp_path):
    path = write_embeddings(tmp_path / "x.bin", {"<cat>": torch.ones(3, 768)})
    found = said(path)
    assert found["token"] == ["<cat>: 3 of width 768, torch.float32"]
    assert found["fits"] == ["Stable Diffusion 1.x"]


def test_clip(clip, tmp_path):
    for path in (
        write_clip(clip, tmp_path / "folder", "transformers"),
        write_clip(clip, tmp_path / "clip.pt", "openai"),
    ):
        found = said(path)
        assert found["name"] == ["patch 7, widths 24 and 32"] and found["projection"] == ["11"]
        assert "size 21" in found["vision"][0] and "vocabulary 523" in found["text"][0]
        assert found["parameters"] == [f"{sum(p.numel() for p in clip.parameters()):,}"]
        assert found["fits"] == [f"latentgeo eval-quality --clip-model {path}"]
    assert found["family"] == ["CLIP with OpenAI's names"]
    (tmp_path / "folder" / "config.json").write_text('{"model_type": "clip"}')
    assert said(tmp_path / "folder")["fits"][0].startswith("no: ")


@pytest.mark.parametrize(
    ("width", "fits"),
    [(96, "avatars"), (1024, "Stable Diffusion 2.x"), (17, "a text encoder of width 17")],
)
def test_learned_tokens_fit_by_their_width(tmp_path, width, fits):
    path = write_embeddings(tmp_path / "x.safetensors", {"<cat>": torch.ones(1, width)})
    assert said(path)["fits"] == [fits]


def test_what_is_no_model_says_what_it_looks_like(tmp_path, tiny):
    save_file(tiny.vae.state_dict(), tmp_path / "vae.safetensors")
    found = said(tmp_path / "vae.safetensors")
    assert found["family"] == ["a KL autoencoder with the names of diffusers"]
    assert found["fits"][0].startswith("no: ") and "wanted Stable Diffusion 1.x" in found["fits"][0]


def test_the_command_prints_a_line_per_finding(tiny, tmp_path, capsys):
    path = write_ldm(tiny, tmp_path / "one.ckpt")
    assert main(["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"file        {path}" and len(lines) == len(inspect(path))
    assert main(["inspect", str(tmp_path / "gone")]) == 2
    assert "gone" in capsys.readouterr().err
    assert main(["inspect"]) == 2
    assert "FILE is required" in capsys.readouterr().err
    (tmp_path / "x").write_bytes(b"nothing of use")
    assert main(["inspect", str(tmp_path / "x")]) == 2
    assert "not a whole safetensors file" in capsys.readouterr().err
