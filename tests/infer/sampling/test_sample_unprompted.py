"""`latentgeo sample` of models without text, from the command line to the files."""

import re

import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.models.bundles.image_model import save_image_model
from tests.models.bundles.test_image_model import CONFIGS, made


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder with the tiny models in our layout, and DDPM's in every other."""
    folder = tmp_path_factory.mktemp("unprompted")
    for name, config in CONFIGS.items():
        save_image_model(made(config), folder / name)
    for target in ("theirs", "x.safetensors", "x.pt"):
        words = ["--from", str(folder / "ddpm"), "--to", str(folder / target)]
        assert main(["convert", *words]) == 0
    return folder


def draw(model, out, *words: object) -> int:
    start = ["sample", "--model", str(model), "--out", str(out), "--device", "cpu", "--steps", "3"]
    return main([*start, *map(str, words)])


def pixels(path) -> bytes:
    with Image.open(path) as picture:
        return picture.tobytes()


def test_a_picture_per_seed_and_the_same_from_every_layout(places, tmp_path, capsys):
    assert draw(places / "ddpm", tmp_path, "--count", "2", "--seed", "5") == 0
    assert capsys.readouterr().out.strip().endswith(str(tmp_path / "grid.png"))
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["0000-seed5.png", "0000-seed6.png", "grid.png"]
    settings = read_metadata(tmp_path / "0000-seed6.png")
    assert (settings["seed"], settings["steps"], settings["size"]) == (6, 3, 12)
    assert {"weights", "version", "eta", "sampler"} <= settings.keys()
    wanted = pixels(tmp_path / "0000-seed6.png")
    config = ("--model-config", places / "ddpm" / "config.json")
    for other, words in (("theirs", ()), ("x.safetensors", ()), ("x.pt", config)):
        assert draw(places / other, tmp_path / other, "--seed", "6", *words) == 0
        assert pixels(tmp_path / other / "0000-seed6.png") == wanted


def test_a_picture_per_class(places, tmp_path):
    words = ("--classes", "1", "4", "--sampler", "ddpm", "--size", "12")
    assert draw(places / "adm", tmp_path, *words) == 0
    assert read_metadata(tmp_path / "0001-seed0.png")["class"] == 4
    with Image.open(tmp_path / "0001-seed0.png") as picture:
        assert picture.size == (12, 12)


def test_its_run_file_draws_the_same_again(places, tmp_path):
    assert draw(places / "ldm", tmp_path / "a", "--eta", "0.5") == 0
    again = ["--config", str(tmp_path / "a" / "run.toml"), "--out", str(tmp_path / "b")]
    assert main(["sample", *again]) == 0
    name = "0000-seed0.png"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("ddpm", ("--prompts", "a"), "--prompts: got it for .*ddpm, a model without text"),
        ("ddpm", ("--lora", "x"), "no LoRA at x"),
        ("ddpm+x@0.5", (), "no LoRA at x"),
        ("ddpm", ("--guidance", "2"), "guidance: "),
        ("ddpm", ("--classes", "1"), "classes: got 1, wanted none: ddpm has 0"),
        ("adm", (), "classes: got none, wanted some of 0 to 4: adm"),
        ("adm", ("--classes", "5"), "classes: got 5, wanted some of 0 to 4"),
        ("ddpm", ("--sampler", "euler"), "--sampler: got 'euler', wanted one of ddim, ddpm"),
        ("ddpm", ("--size", "13"), "size must be a positive multiple of 4"),
        ("ddpm", ("--steps", "2000"), "steps must lie in"),
        ("x.pt", (), "is none of ddpm-celebahq256, ddpm-cifar10; give --model-config"),
        ("x.pt", ("--model-config", "p2"), "no configuration p2; wanted a JSON file or one of"),
        (
            "x.pt",
            ("--model-config", "p2-256"),
            "of the network ddpm, and p2-256 of adm; give another",
        ),
        ("theirs", ("--model-config", "p2-256"), "has its own, leave it out"),
    ],
)
def test_bad_input_is_one_line_and_status_2(places, tmp_path, capsys, name, words, message):
    assert draw(places / name, tmp_path / "out", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and re.search(message, lines[0]), lines
    assert not list(tmp_path.glob("out/*.png"))


@pytest.mark.parametrize("words", [("--classes", "1"), ("--sampler", "ddpm")])
def test_models_with_text_have_neither_classes_nor_ancestral_steps(tiny, tmp_path, capsys, words):
    assert draw(tiny.model, tmp_path, "--prompts", "a", *words) == 2
    assert "--classes, --model-config and --sampler: got some for" in capsys.readouterr().err
