"""Sentences of `models` that no other test meets: an input for each."""

import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from latentgeo.models.bundles.text_to_image import BundleConfig, config_from
from latentgeo.models.formats.clip.config import read_vision
from latentgeo.models.formats.clip.file import CONFIG, config_in
from latentgeo.models.formats.delta_file import KEY, read_purpose
from latentgeo.models.formats.diffusers.folder import INDEX, read_config
from latentgeo.models.formats.diffusers.image import read_image_config, write_image_folder
from latentgeo.models.formats.diffusers.image_config import read_unet
from latentgeo.models.formats.files.json_object import read_json
from latentgeo.models.formats.files.json_settings import Reader
from latentgeo.models.formats.files.pickle import looks_scripted
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.load import find_direction
from latentgeo.models.formats.lora import files as lora_files
from latentgeo.models.formats.lora.adapter import Lora, places_in
from latentgeo.models.formats.lora.grammar import _factors
from latentgeo.models.formats.textual_inversion import read_embeddings
from latentgeo.models.lora.layer import add_updates
from latentgeo.models.lora.patterns import _found
from latentgeo.models.perceptual import check_shapes
from tests.models.bundles.test_image_model import CONFIGS, made

ONE = torch.ones(1)
CLIP = SimpleNamespace(metadata={CONFIG: "{"})


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def purpose(tmp: Path) -> object:
    return read_purpose(write_safetensors(tmp / "f.safetensors", {"shift": ONE}, {KEY: "3"}))


def changed(tmp: Path, name: str, **values: object) -> Path:
    """Return a folder of latent diffusion with other values in one of its files."""
    folder = write_image_folder(made(CONFIGS["ldm"]), tmp / "m")
    (path,) = folder.glob(f"{name}/*.json")
    written(path, {**json.loads(path.read_text(encoding="utf-8")), **values})
    return folder


def zip_without_directory(tmp: Path) -> Path:
    with zipfile.ZipFile(tmp / "f.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"x")
    data = (tmp / "f.pt").read_bytes().replace(b"PK\1\2", b"XX\1\2")
    (tmp / "f.pt").write_bytes(data)
    return tmp / "f.pt"


def token(tmp: Path) -> Path:
    torch.save({"string_to_param": {"*": 3}}, tmp / "f.pt")
    return tmp / "f.pt"


CASES = {
    "network": (
        lambda tmp: config_from({"network": "ddpm"}, "f"),
        "f: a model without text, wanted one with text; sample, directions, inject-content and",
    ),
    "folder": (
        lambda tmp: read_config(
            written(tmp / INDEX, {"unet": ["diffusers", "UNet2DModel"]}).parent
        ),
        ": a model without text, wanted one with text; sample, directions, inject-content and",
    ),
    "patch": (
        lambda tmp: read_vision({"image_size": 225}, "f"),
        "image_size is 225, wanted a multiple of patch_size, 32",
    ),
    "clip": (lambda tmp: config_in(tmp / "f", CLIP, SimpleNamespace(name="openai")), "f: Expect"),
    "purpose": (purpose, "f.safetensors: its metadata is not a direction's: 'int'"),
    "clip-sample": (
        lambda tmp: read_image_config(changed(tmp, "scheduler", clip_sample=True)),
        "scheduler_config.json: clip_sample is on, wanted it off for latents",
    ),
    "parts": (
        lambda tmp: read_image_config(changed(tmp, "vqvae", latent_channels=7, vq_embed_dim=7)),
        "scheduler_config.json: the autoencoder has 7 latent channels",
    ),
    "heads": (
        lambda tmp: read_unet({"sample_size": 8, "attention_head_dim": None}, "f"),
        "attention_head_dim is None, wanted a width of heads",
    ),
    "object": (lambda tmp: read_json(written(tmp / "f", [1])), "f is no JSON object"),
    "divisor": (lambda tmp: Reader("f", {}).divides("g", 3, 32), "g is 3, wanted a divisor of 32"),
    "part": (lambda tmp: Reader("f", {"unet": "x"}).part("unet"), "a list of its library and its"),
    "zip": (lambda tmp: looks_scripted(zip_without_directory(tmp)), "its zip directory is damaged"),
    "dtype": (
        lambda tmp: write_safetensors(tmp / "f", {"a": ONE.to(torch.complex128)}),
        "f: a is torch.complex128, which has no name",
    ),
    "direction": (
        lambda tmp: find_direction("frown", tmp),
        "no direction at frown; wanted a file of train-asyrp, or one of the model's own: it has no",
    ),
    "factor": (lambda tmp: _factors({"A": ONE}), "factor B is missing"),
    "alphas": (
        lambda tmp: _factors({"A": ONE, "B": ONE, "alpha": torch.ones(2)}),
        "α has shape (2,), wanted one number",
    ),
    "truth": (
        lambda tmp: _factors({"A": ONE, "B": ONE, "alpha": ONE.bool()}),
        "α is torch.bool, wanted a number",
    ),
    "token": (lambda tmp: read_embeddings(token(tmp)), "string_to_param has what is no tensor"),
    "arguments": (lambda tmp: add_updates(torch.nn.Linear(1, 1), (), ONE), "one positional"),
    "pattern": (lambda tmp: _found(["("], ["a"]), "'(' is no pattern: missing )"),
    "images": (lambda tmp: check_shapes(ONE.byte(), ONE), "x is torch.uint8, wanted floats in"),
}


@pytest.mark.parametrize(("act", "message"), CASES.values(), ids=list(CASES))
def test_it_says(tmp_path, act, message):
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError), match=re.escape(message)):
        act(tmp_path)


def test_a_lora_of_nothing(tmp_path, monkeypatch):
    path = write_safetensors(tmp_path / "f.safetensors", {"a": ONE})
    empty = SimpleNamespace(read=lambda *_: Lora())
    monkeypatch.setattr(lora_files, "grammar_of", lambda _: empty)
    with pytest.raises(ValueError, match=r"f\.safetensors: it adapts no layer"):
        lora_files.read_lora_file(path, places_in(BundleConfig()))
