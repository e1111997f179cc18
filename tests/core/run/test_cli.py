"""The command-line machinery: flags, TOML, and the errors of both."""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from latentgeo.core.run.cli import (
    build_parser,
    command_name,
    environment,
    option,
    parse,
    required,
    to_toml,
    write_run,
)
from latentgeo.core.run.config import kinds
from latentgeo.core.run.main import run_command


@dataclass(frozen=True, kw_only=True)
class DrawThings:
    """Draw things, 100% of them."""

    out: Path = required("where to write, 100% sure")
    seed: int = option(0, "seed of the noise")
    rate: float = option(1e-4, "learning rate")
    name: str = option("a", "a name")
    flip: bool = option(True, "mirror or not")
    dtype: Literal["fp32", "bf16"] = option("fp32", "precision")
    orders: tuple[Literal[1, 2], ...] = option((1,), "orders")
    prompts: tuple[str, ...] = option(("x", "y"), "prompts")
    sizes: tuple[int, ...] = option((), "sizes")
    weights: tuple[float, ...] = option((0.5,), "weights")
    adapter: Path | None = option(None, "adapter")
    steps: int | None = option(50, "steps")
    shapes: tuple[int, ...] | None = option(None, "shapes")
    cached: bool | None = option(None, "cache")


FULL = [
    *["--out", "o p", "--seed", "3", "--rate", "2e-5", "--name", "none", "--no-flip"],
    *["--dtype", "bf16", "--orders", "2", "1", "--prompts", 'é "q"', "\t\\", "--prompts", "😀\x7f"],
    *["--sizes", "8", "16", "--weights", "inf", "1", "-0.25", "--adapter", "l.safetensors"],
    *["--steps", "none", "--shapes", "3", "--cached"],
]


def test_every_supported_type_is_read_from_flags():
    assert parse(DrawThings, FULL) == DrawThings(
        out=Path("o p"),
        seed=3,
        rate=2e-5,
        name="none",
        flip=False,
        dtype="bf16",
        orders=(2, 1),
        prompts=('é "q"', "\t\\", "😀\x7f"),
        sizes=(8, 16),
        weights=(float("inf"), 1.0, -0.25),
        adapter=Path("l.safetensors"),
        steps=None,
        shapes=(3,),
        cached=True,
    )


def test_lists_of_numbers_and_choices_may_have_commas_and_text_keeps_its_own():
    words = ["--sizes", "8,16", "32", "--orders", "2,1", "--weights=.5,2", "--prompts", "a, b"]
    command = parse(DrawThings, ["--out", "o", *words])
    assert (command.sizes, command.orders) == ((8, 16, 32), (2, 1))
    assert (command.weights, command.prompts) == ((0.5, 2.0), ("a, b",))


@pytest.mark.parametrize("argv", [["--out", "o"], FULL], ids=["defaults", "everything"])
def test_a_run_written_as_toml_reads_back_equal(tmp_path, argv):
    command = parse(DrawThings, argv)
    path = write_run(command, tmp_path / "new", {"unet.safetensors": "ab12"})
    assert parse(DrawThings, ["--config", str(path)]) == command
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert content["command"] == "draw-things"
    assert content["hashes"] == {"unet.safetensors": "ab12"}
    assert content["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_flags_override_the_config_and_leave_the_rest_of_it(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('out = "o"\nseed = 5\nrate = 1\nprompts = ["a"]\nflip = false\n')
    command = parse(DrawThings, ["--seed", "7", "--config", str(config), "--prompts", "b"])
    assert (command.seed, command.rate, command.prompts, command.flip) == (7, 1.0, ("b",), False)


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """Do it, under other names."""

    n_items: int = option(3, "how many", was="items")
    keep_all: bool = option(True, "keep them", was="all")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--items", "4"], "unknown option --items: here it is --n-items now"),
        (["--items=4"], "unknown option --items: here it is --n-items now"),
        (["--no-all"], "unknown option --no-all: here it is --keep-all now"),
        (["--item", "4"], "unknown option --item; did you mean --n-items?"),
    ],
)
def test_a_name_that_was_is_refused_and_the_new_one_named(argv, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse(Renamed, argv)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--out is required: where to write, 100% sure"),
        (["--out"], "--out: expected one argument"),
        (["--out", "o", "--seed", "x"], "--seed: got 'x', wanted an integer"),
        (["--out", "o", "--rate", "x"], "--rate: got 'x', wanted a number"),
        (["--out", "o", "--dtype", "fp8"], "--dtype: got 'fp8', wanted one of fp32, bf16"),
        (["--out", "o", "--steps", "x"], "--steps: got 'x', wanted an integer, or none"),
        (
            ["--out", "o", "--orders", "1", "3"],
            "--orders: got '3', wanted a list, each one of 1, 2",
        ),
        (["--out", "o", "--see", "1"], "unknown option --see; did you mean --seed?"),
        (["--out", "o", "--sed=1"], "unknown option --sed; did you mean --seed?"),
        (["--out", "o", "stray"], "unexpected argument 'stray'"),
        (["--config", "/no/run.toml"], "--config: no such file: /no/run.toml"),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(capsys, argv, message):
    assert run_command(DrawThings, print, argv) == 2
    assert capsys.readouterr() == ("", f"latentgeo draw-things: {message}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt = ['a']", "unknown key 'prompt'; did you mean prompts?"),
        ("zzzzzzzz = 1", "unknown key 'zzzzzzzz'"),
        ("[seeds]\na = 1", "unknown key 'seeds'; did you mean seed?"),
        ("seed = 1.5", "seed: got 1.5, wanted an integer"),
        ("seed = true", "seed: got True, wanted an integer"),
        ("flip = 1", "flip: got 1, wanted true or false"),
        ("dtype = 'fp8'", "dtype: got 'fp8', wanted one of fp32, bf16"),
        ("prompts = 'a'", "prompts: got 'a', wanted a list, each text"),
        ("prompts = [1]", "prompts: got 1, wanted a list, each text"),
        ("command = 'sample'", "configures 'sample', not 'draw-things'"),
        ("seed = ", "is not valid TOML"),
    ],
)
def test_a_wrong_config_is_one_line_naming_the_file(tmp_path, capsys, text, message):
    config = tmp_path / "run.toml"
    config.write_text(text)
    assert run_command(DrawThings, print, ["--out", "o", "--config", str(config)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"latentgeo draw-things: {config}")
    assert message in err
    assert err.count("\n") == 1


def test_help_names_flags_choices_and_defaults(capsys):
    assert run_command(DrawThings, print, ["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Draw things, 100% of them." in text
    assert "--out PATH where to write, 100% sure (required)" in text
    assert "--dtype {fp32,bf16} precision (default: fp32)" in text
    assert "--flip, --no-flip mirror or not (default: True)" in text
    assert "prompts (default: x y)" in text


def test_names_of_commands():
    names = ["Sample", "TrainVae", "EvalIstd", "BenchUnet"]
    kebab = [command_name(type(name, (), {})) for name in names]
    assert kebab == ["sample", "train-vae", "eval-istd", "bench-unet"]


def test_an_unsupported_field_is_refused_when_the_parser_is_built():
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        """Odd."""

        table: dict[str, int] = option({}.copy, "a table")

    with pytest.raises(TypeError, match=r"Odd\.table"):
        build_parser(Odd)


@pytest.mark.parametrize("name", ["config", "help", "command", "hashes"])
def test_reserved_field_names_are_refused(name):
    with pytest.raises(TypeError, match="reserved"):
        kinds(dataclass(type("Odd", (), {"__annotations__": {name: int}, name: 1})))


def test_toml_refuses_what_it_cannot_say():
    with pytest.raises(TypeError, match="dict"):
        to_toml(DrawThings(out=Path("o"), name={}))


def test_environment_names_versions_and_the_processor():
    found = environment()
    assert {"python", "cpu", "cores", "torch", "numpy"} <= found.keys()
    assert int(found["cores"]) >= 1
    assert found["torch"].split(".")[0].isdigit()
