"""`latentgeo sample`, from the command line to the files."""

import pytest
from PIL import Image

from latentgeo.core.run.main import main
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.infer.sampling.sample import read_prompts


def run(tiny, out, *words):
    start = ["sample", "--model", str(tiny.model), "--device", "cpu", "--out", str(out)]
    return main([*start, *words])


def test_a_picture_per_prompt_and_seed(tiny, tmp_path, capsys):
    prompts = ["a smiling person", "a sad person"]
    assert run(tiny, tmp_path, "--prompts", *prompts, "--seed", "5", "--count", "2") == 0
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == [
        "0000-seed5.png",
        "0000-seed6.png",
        "0001-seed5.png",
        "0001-seed6.png",
        "grid.png",
    ]
    assert capsys.readouterr().out.strip() == str(tmp_path / "grid.png")
    settings = read_metadata(tmp_path / "0001-seed6.png")
    assert settings["prompt"] == prompts[1]
    assert (settings["seed"], settings["steps"], settings["guidance"]) == (6, 2, 2.0)
    assert {"model", "weights", "version", "eta", "negative"} <= settings.keys()
    with Image.open(tmp_path / "0000-seed5.png") as picture:
        assert picture.size == (32, 32)


def test_its_run_file_draws_the_same_again(tiny, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert run(tiny, first, "--prompts", "a person", "--eta", "0.5", "--size", "40") == 0
    assert main(["sample", "--config", str(first / "run.toml"), "--out", str(second)]) == 0
    name = "0000-seed0.png"
    assert (first / name).read_bytes() == (second / name).read_bytes()
    assert read_metadata(first / name)["size"] == 40


def test_an_adapter_and_a_prompt_file(tiny, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a person\n\n  a sad person \n", encoding="utf-8")
    words = ["--prompt-file", str(file), "--lora", "smooth_lora", "--lora-scale", "0.5"]
    assert run(tiny, tmp_path / "out", *words) == 0
    settings = read_metadata(tmp_path / "out" / "0001-seed0.png")
    assert settings["prompt"] == "a sad person"
    assert str(settings["model"]).endswith("+smooth_lora@0.5")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "prompts"),
        (("--prompts", "a", "--steps", "0"), "steps"),
        (("--prompts", "a", "--steps", "2000"), "steps"),
        (("--prompts", "a", "--guidance", "nan"), "guidance"),
        (("--prompts", "a", "--size", "33"), "size"),
        (("--prompts", "a", "--count", "0"), "count"),
        (("--prompts", "a", "--eta", "2"), "eta"),
        (("--prompts", "a", "--batch", "0"), "batch"),
        (("--prompts", "a", "--lora", "missing"), "missing"),
        (("--prompts", "a", "--device", "tpu"), "device"),
        (("--prompts", "a", "--prompt-file", "/nowhere.txt"), "nowhere.txt"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, words, message):
    assert run(tiny, tmp_path / "out", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert not list(tmp_path.glob("out/*.png"))


def test_a_prompt_file_must_be_text(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_prompts((), path)
