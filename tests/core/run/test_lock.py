"""One run to a folder: a second is refused, a dead one's place is taken, nothing stays."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from latentgeo.core.run.lock import locked
from latentgeo.core.run.main import commands, main

HOLD = (
    "import sys; from pathlib import Path; from latentgeo.core.run.lock import locked\n"
    "with locked(Path(sys.argv[1]), sys.argv[2] == 'file'):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@contextmanager
def other(place: Path, kind: str = "folder", **environment: str):
    """Another process that holds the lock of a place, until it is killed or the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_second_process_is_refused_until_the_first_ends(tmp_path, kind):
    place = tmp_path / "new" / "out"
    with other(place, kind) as process:
        message = rf"out is being written by process {process.pid} on .*, begun .*; wait for it"
        with pytest.raises(ValueError, match=message), locked(place, kind == "file"):
            pytest.fail("it was not refused")
        with locked(tmp_path / "new" / "other"):
            pass
    with locked(place, kind == "file"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="kills as Unix does")
def test_the_lock_of_a_killed_process_is_told_and_taken(tmp_path, capfd):
    with other(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / ".lock").is_file()
    with locked(tmp_path):
        line = capfd.readouterr().err
    assert line.startswith(f"{tmp_path} was left by process {process.pid} on ")
    assert line.endswith(", which is dead; going on\n") and line.count("\n") == 1
    with locked(tmp_path):
        assert capfd.readouterr().err == ""
    assert not list(tmp_path.iterdir())


def test_a_process_has_its_lock_as_often_as_it_wants(tmp_path):
    with locked(tmp_path):
        with locked(tmp_path / "x" / ".."), other(tmp_path / "sub"):
            pass
        words = [sys.executable, "-c", HOLD, str(tmp_path), "folder"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert f"is being written by process {os.getpid()} on " in done.stderr
    assert not list(tmp_path.iterdir())


def test_ranks_of_one_run_share_the_main_ones(tmp_path):
    with other(tmp_path, RANK="0", WORLD_SIZE="2"), other(tmp_path, RANK="1", WORLD_SIZE="2"):
        with pytest.raises(ValueError, match="is being written by"), locked(tmp_path):
            pass


def test_what_is_in_the_place_is_checked_before_anything_is_made(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "deep" / "er"):
        with pytest.raises(ValueError, match=r"file is a file, wanted a folder to write to"):
            with locked(place):
                pass
    with pytest.raises(ValueError, match=r"is a folder, wanted a file to write"):
        with locked(tmp_path, is_file=True):
            pass
    assert os.listdir(tmp_path) == ["file"]


def test_of_many_at_once_one_is_let_in(tmp_path):
    """Eight processes that take and let go in a loop are never two at a time inside."""
    code = (
        "import os, sys; from pathlib import Path; from latentgeo.core.run.lock import locked\n"
        "place, done = Path(sys.argv[1]), 0\n"
        "while done < 40:\n"
        "    try:\n"
        "        with locked(place):\n"
        "            os.close(os.open(place / 'inside', os.O_CREAT | os.O_EXCL)); done += 1\n"
        "            os.unlink(place / 'inside')\n"
        "    except ValueError: pass\n"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    assert [(process.communicate()[1], process.returncode) for process in several] == [(b"", 0)] * 8


WRITE = {
    "csv",
    "out",
    "to",
    "html",
    "profile",
    "report",
    "dump",
}  # fields that name what a command writes, as its help says


@pytest.mark.parametrize("name", commands())
def test_each_command_that_writes_takes_the_lock(name):
    """A folder of results that is no `output` field would not be locked."""
    settings = fields(commands()[name].settings_class())
    marked = {field.name for field in settings if "files" in field.metadata}
    assert {field.name for field in settings} & WRITE == marked


def test_a_command_is_refused_before_it_writes_and_a_file_is_no_folder(tmp_path, capsys):
    words = ["sample", "--prompts", "a person", "--model", "none-such", "--out"]
    with other(tmp_path / "o"):
        assert main([*words, str(tmp_path / "o")]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"latentgeo sample: --out: {tmp_path}/o is being written by process ")
        assert err.count("\n") == 1 and os.listdir(tmp_path / "o") == [".lock"]
    (tmp_path / "o").touch()
    assert main([*words, str(tmp_path / "o")]) == 2
    wanted = f"latentgeo sample: --out: {tmp_path}/o is a file, wanted a folder to write to\n"
    assert capsys.readouterr().err == wanted
