"""The `latentgeo` command: what it lists, how fast, how it refuses, and what it does not import."""

import os
import subprocess
import sys

import pytest

from latentgeo.core.cli import command_name, version
from latentgeo.core.config import kinds
from latentgeo.eval.main import COMMANDS, command_class, main

LATENTGEO = [sys.executable, "-m", "latentgeo.eval.main"]


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "  " in line]
    assert listed == list(COMMANDS)


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


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_what_its_name_says(name):
    command = command_class(name)
    assert command_name(command) == name
    assert command.__doc__ and kinds(command)
    assert callable(command.run)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_refuses_a_wrong_option_in_one_line(name, capsys):
    assert main([name, "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"latentgeo {name}: ") and err.count("\n") == 1


def test_no_help_imports_torch_or_numpy():
    code = (
        "import sys; from latentgeo.eval.main import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    assert main([name, '--help']) == 0\n"
        "    assert not {'torch', 'numpy', 'PIL'} & set(sys.modules), name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: latentgeo ") == len(COMMANDS)


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
