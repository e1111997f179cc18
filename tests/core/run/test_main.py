"""The `latentgeo` command: what it lists, how fast, how it refuses, and what it does not import."""

import os
import subprocess
import sys
from dataclasses import MISSING, fields
from typing import get_type_hints

import pytest

from latentgeo.core.run.cli import command_name, flag, version
from latentgeo.core.run.commands import GROUPS
from latentgeo.core.run.config import kinds
from latentgeo.core.run.main import commands, main

LATENTGEO = [sys.executable, "-m", "latentgeo.core.run"]


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(commands())
    assert [line for line in lines if line.split(":")[0] in GROUPS] == [
        f"{group}: {text}" for group, text in GROUPS.items()
    ]
    assert {one.group for one in commands().values()} == set(GROUPS)


def test_no_words_at_all_are_a_question_for_help(capsys):
    assert main([]) == 0
    assert "usage: latentgeo <command>" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"latentgeo {version('latentgeo')}\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("samples", "unknown command 'samples'; did you mean sample?"),
        ("train-smoth", "unknown command 'train-smoth'; did you mean train-smooth?"),
        ("xyzzy", "unknown command 'xyzzy'; latentgeo --help lists the commands"),
        ("--verbos", "unknown option '--verbos'; latentgeo --help lists the commands"),
    ],
)
def test_an_unknown_command_is_one_line_and_status_2(capsys, word, message):
    assert main([word, "--seed", "1"]) == 2
    assert capsys.readouterr() == ("", f"latentgeo: {message}\n")


@pytest.mark.parametrize("name", commands())
def test_each_command_is_what_its_name_says(name):
    settings, work = commands()[name].settings_class(), commands()[name].work_function()
    assert command_name(settings) == name
    assert settings.__doc__ and kinds(settings) and not hasattr(settings, "run")
    assert next(iter(get_type_hints(work).values())) is settings


@pytest.mark.parametrize("name", commands())
def test_each_command_refuses_a_wrong_option_in_one_line(name, capsys):
    assert main([name, "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"latentgeo {name}: ") and err.count("\n") == 1


def test_no_help_imports_torch_or_numpy():
    code = (
        "import sys; from latentgeo.core.run.main import commands, main\n"
        "for name in commands():\n"
        "    assert main([name, '--help']) == 0\n"
        "    assert not {'torch', 'numpy', 'PIL'} & set(sys.modules), name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: latentgeo ") == len(commands())


def test_help_is_instant():
    """Processor seconds, since other work on the machine stretches those of the clock."""
    before = os.times()
    subprocess.run([*LATENTGEO, "--help"], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 0.3


def test_a_failure_reaches_the_shell():
    done = subprocess.run([*LATENTGEO, "sample", "--sed", "1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "latentgeo sample: unknown option --sed; did you mean --seed?\n"


@pytest.mark.parametrize("seed", [-1, 2**64])
@pytest.mark.parametrize("name", commands())
def test_each_seed_of_each_command_is_one_of_a_generator(name, seed, capsys):
    """Refused by its name before any work; a command that needs more settings is given them."""
    settings = commands()[name].settings_class()
    needed = [field for field in fields(settings) if field.default is MISSING]
    flags = [[] if field.metadata.get("word") else [flag(field.name)] for field in needed]
    values = ["smooth" if field.name == "paper" else "x" for field in needed]
    words = [word for one, value in zip(flags, values, strict=True) for word in (*one, value)]
    for field in (field.name for field in fields(settings) if field.name.startswith("seed")):
        assert main([name, *words, flag(field), str(seed)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"latentgeo {name}: {flag(field)} must be at least 0"), err
        assert err.endswith(f"got {seed}\n")
