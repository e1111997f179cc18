"""How a command ends: its exit status, and what is a line on stderr."""

import errno
import os
import subprocess
import sys

import pytest

from latentgeo.core.run.main import as_typed, guarded, run_command
from tests.core.run.test_cli import DrawThings


def act(command: DrawThings) -> None:
    """Do what `name` says."""
    ACTIONS.get(command.name, lambda: None)()


def fail_with(error):
    def action():
        raise error

    return action


ACTIONS = {
    "value": fail_with(ValueError("two\n  lines")),
    "file": fail_with(FileNotFoundError("weights w.safetensors: put them in /here")),
    "open": lambda: open("/no/such/file"),
    "runtime": fail_with(RuntimeError("diverged")),
    "disk": fail_with(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.png")),
    "empty": fail_with(RuntimeError()),
    "interrupt": fail_with(KeyboardInterrupt()),
    "bug": fail_with(KeyError("bug")),
    "pipe": fail_with(BrokenPipeError()),
}


@pytest.mark.parametrize(
    ("name", "status", "line"),
    [
        ("fine", 0, ""),
        ("value", 2, "two lines"),
        ("file", 2, "weights w.safetensors: put them in /here"),
        ("open", 2, "No such file or directory: /no/such/file"),
        ("runtime", 1, "diverged"),
        ("disk", 1, "No space left on device: out.png"),
        ("empty", 1, "RuntimeError"),
        ("interrupt", 130, "interrupted"),
    ],
)
def test_how_run_ends_is_the_exit_status(capsys, name, status, line):
    assert run_command(DrawThings, act, ["--out", "o", "--name", name]) == status
    assert capsys.readouterr().err == (f"latentgeo draw-things: {line}\n" if line else "")


def test_a_bug_of_ours_propagates():
    with pytest.raises(KeyError, match="bug"):
        run_command(DrawThings, act, ["--out", "o", "--name", "bug"])


def test_the_traceback_is_shown_on_request(capsys, monkeypatch):
    monkeypatch.setenv("LATENTGEO_TRACEBACK", "1")
    assert run_command(DrawThings, act, ["--out", "o", "--name", "runtime"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("latentgeo draw-things: diverged\n")


WARNED = """
import warnings
from latentgeo.core.run.main import guarded

guarded('latentgeo drag', lambda: warnings.warn('mask: all\\n white'), ['mask'])
guarded('latentgeo drag', lambda: warnings.warn('not a number', RuntimeWarning))
guarded('latentgeo drag', lambda: warnings.warn('old', FutureWarning))
warnings.warn('outside')
"""


def warned(**environment: str) -> list[str]:
    """Return the lines of warnings that a user sees, and a programmer."""
    command = [sys.executable, "-c", WARNED]
    plain = {name: text for name, text in os.environ.items() if name != "PYTHONWARNINGS"}
    given = {"capture_output": True, "text": True, "check": True, "env": plain | environment}
    return subprocess.run(command, **given).stderr.splitlines()


def test_a_warning_is_a_line_and_what_is_for_programmers_is_for_those_who_ask():
    first, second, *others = warned()
    assert first == "latentgeo drag: --mask: all white"
    assert second == "latentgeo drag: not a number"
    assert "FutureWarning" not in "".join(others) and "UserWarning: outside" in others[0]
    for asked in ({"LATENTGEO_TRACEBACK": "1"}, {"PYTHONWARNINGS": "default"}):
        assert "FutureWarning: old" in "".join(warned(**asked))


@pytest.mark.parametrize(
    "sentence, typed",
    [
        ("seeds: got none", "--seeds: got none"),
        ("seed_b must differ from seed, got 3", "--seed-b must differ from seed, got 3"),
        ("from_ and seeds: got seeds", "--from and --seeds: got seeds"),
        ("seed, seeds or seed_b is wanted", "--seed, --seeds or --seed-b is wanted"),
        ("seedling: dry", "seedling: dry"),
        ("seeds 3 to 5 are dry", "seeds 3 to 5 are dry"),
        ("a: seeds: dry", "a: seeds: dry"),
    ],
)
def test_a_sentence_about_options_names_them_as_typed(sentence, typed):
    assert as_typed(sentence, ["seed", "seeds", "seed_b", "from_"]) == typed
    assert as_typed(sentence, ()) == sentence


def test_a_closed_pipe_ends_quietly():
    code = (
        "import sys; from latentgeo.core.run.main import guarded\n"
        "sys.exit(guarded('x', lambda: print('line\\n' * 100_000)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_output_that_does_not_fit_is_a_failure():
    code = (
        "import sys; from latentgeo.core.run.main import guarded\n"
        "sys.exit(guarded('x', lambda: print(1)))"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"x: No space left on device\n"


def test_a_status_that_run_asks_for_is_kept():
    assert guarded("x", lambda: sys.exit(3)) == 3
    with pytest.raises(SystemExit, match="text"):
        guarded("x", lambda: sys.exit("text"))
