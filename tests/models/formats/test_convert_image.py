"""`latentgeo convert` and `inspect` of image models: bit for bit, and what has no such layout."""

import re

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.models.bundles.image_model import save_image_model
from latentgeo.models.formats.load_image import load_image_model
from tests.models.bundles.test_image_model import CONFIGS, made, same

CHAINS = {
    "ddpm": [("theirs",), ("x.safetensors",), ("back", "--layout", "latentgeo")],
    "adm": [("x.safetensors",), ("back",)],
    "ldm": [("x.safetensors",), ("theirs",), ("x.ckpt",), ("back", "--layout", "latentgeo")],
}


def run(source, target, *words) -> int:
    return main(["convert", "--from", str(source), "--to", str(target), *map(str, words)])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_through_all_layouts_is_the_same(name, tmp_path, capsys):
    model = made(CONFIGS[name])
    source = ours = save_image_model(model, tmp_path / "ours")
    for word, *words in CHAINS[name]:
        target = tmp_path / word
        assert run(source, target, *words) == 0
        assert capsys.readouterr().out.startswith(f"{target}: ")
        source = target
    for part in model.modules:
        file = f"{part}.safetensors"
        assert (source / file).read_bytes() == (ours / file).read_bytes()


def test_a_pickle_needs_a_configuration_and_may_have_an_average(tmp_path, capsys):
    model = made(CONFIGS["adm"])
    ours = save_image_model(model, tmp_path / "ours")
    state = model.unet.state_dict()
    torch.save({"model": state, "ema": {k: 2 * v for k, v in state.items()}}, tmp_path / "x.pt")
    assert run(tmp_path / "x.pt", tmp_path / "out") == 2
    assert "is none of adm-imagenet64, " in capsys.readouterr().err
    words = ("--model-config", ours / "config.json")
    assert run(tmp_path / "x.pt", tmp_path / "weights", *words, "--no-ema-weights") == 0
    assert same(load_image_model(tmp_path / "weights"), model)
    assert run(tmp_path / "x.pt", tmp_path / "mean", *words, "--dtype", "fp16") == 0
    mean = load_image_model(tmp_path / "mean", dtype=None).unet.state_dict()
    assert all(torch.equal(mean[key], (2 * value).half()) for key, value in state.items())


@pytest.mark.parametrize(
    ("name", "target", "words", "message"),
    [
        (
            "adm",
            "x",
            ("--layout", "diffusers"),
            "a folder of diffusers has q, k and v of ADM apart",
        ),
        ("adm", "x.pt", ("--layout", "ldm"), "--layout: got 'ldm' for .*, wanted diffusers, lat"),
        ("ddpm", "x", ("--layout", "ddpm"), r"wanted a name in \.safetensors, \.ckpt, \.pt"),
        ("ddpm", "x.pt", ("--layout", "diffusers"), "wanted a folder"),
        ("ddpm", "x", ("--model-config", "p2-256"), "has its own, leave it out"),
    ],
)
def test_what_cannot_be_written_is_refused(name, target, words, message, tmp_path, capsys):
    ours = save_image_model(made(CONFIGS[name]), tmp_path / "ours")
    assert run(ours, tmp_path / target, *words) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / target).exists()


def test_a_configuration_is_for_image_models_only(tmp_path, capsys):
    assert run("avatars", tmp_path / "x", "--model-config", "p2-256") == 2
    assert (
        "--model-config: got one for avatars, wanted a model without text"
        in capsys.readouterr().err
    )


def test_inspection_says_what_a_model_is(tmp_path, capsys):
    ours = save_image_model(made(CONFIGS["ldm"]), tmp_path / "ours")
    for place in (ours, tmp_path / "x.ckpt", tmp_path / "theirs"):
        if place != ours:
            run(ours, place)
        capsys.readouterr()
        assert main(["inspect", str(place)]) == 0
        said = capsys.readouterr().out
        assert said.count("sha256") == (1 if place.is_file() else 2)
        assert "ldm, in_channels 3" in said and "codes 11" in said
        assert "kind scaled_linear, T 1000, start 0.0015, end 0.0195, predicts eps" in said
        assert "parameters   92,834" in said
        assert f"latentgeo sample --model {place} (layout " in said


def test_inspection_of_a_file_that_needs_a_configuration(tmp_path, capsys):
    ours = save_image_model(made(CONFIGS["ddpm"]), tmp_path / "ours")
    run(ours, tmp_path / "x.pt")
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "x.pt")]) == 0
    assert "no: " in (said := capsys.readouterr().out) and "an original DDPM" in said
    words = ["--model-config", str(ours / "config.json")]
    assert main(["inspect", str(tmp_path / "x.pt"), *words]) == 0
    assert "(layout ddpm)" in capsys.readouterr().out
