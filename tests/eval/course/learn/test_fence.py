"""The fence, from the inside: each in a process of its own, without torch."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BEGIN = """
import ctypes, os, signal, socket, subprocess, sys
from pathlib import Path
from latentgeo.eval.course.learn.fence import fenced
inside, outside = map(Path, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
libc.open, libc.unlink, libc.socket, libc.connect  # found before the fence, which forbids to look
system = [Path(one) for one in ("/usr", "/lib", "/lib64", "/etc", "/proc", sys.prefix)]
lacking = fenced(inside, system, [], 2, 2**28)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="walls of Linux")


def within(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code behind the fence, with a folder to write in and one outside."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    return subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code), tmp_path / "inside",
         tmp_path / "outside"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@linux
def test_one_folder_can_be_written(tmp_path):
    done = within(
        """
        (inside / "a").write_text("x"); (inside / "b").mkdir(); (inside / "a").unlink()
        print((inside / "b").is_dir())
        """,
        tmp_path,
    )
    assert done.stdout == "True\n", done.stderr


@linux
@pytest.mark.parametrize(
    "code",
    [
        '(outside / "a").write_text("x")',
        '(outside / "secret.txt").unlink()',
        'os.rename(outside / "secret.txt", inside / "mine")',
        'os.symlink("/", outside / "a")',
        '(outside / "a").mkdir()',
        'os.truncate(outside / "secret.txt", 0)',
        'os.open(outside / "a", os.O_CREAT | os.O_WRONLY)',
        'socket.socket().connect(("127.0.0.1", 9))',
        'subprocess.run(["true"])',
        'os.system("true")',
        "os.fork()",
        "os.kill(os.getppid(), 0)",
        'ctypes.CDLL("libm.so.6")',
    ],
)
def test_what_an_answer_has_no_need_of_is_refused_by_python(code, tmp_path):
    done = within(code, tmp_path)
    assert done.returncode == 1 and "Refused: an exercise" in done.stderr, done.stderr
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret.txt"]
    assert (tmp_path / "outside" / "secret.txt").read_text() == "secret"


@linux
def test_the_system_refuses_what_gets_past_python(tmp_path):
    """By the C library, which no audit hook sees; where a wall is lacking it says so."""
    done = within(
        """
        said = " ".join(lacking)
        def tried(what, result):
            print(what, "refused" if result < 0 else "done")
        if "Landlock" not in said:
            tried("write", libc.open(bytes(outside / "a"), os.O_CREAT | os.O_WRONLY, 0o600))
            tried("read", libc.open(bytes(outside / "secret.txt"), os.O_RDONLY))
            tried("delete", libc.unlink(bytes(outside / "secret.txt")))
        if "network" not in said:
            address = bytes.fromhex("02000009") + bytes([1, 1, 1, 1]) + bytes(8)
            tried("connect", libc.connect(libc.socket(2, 1, 0), address, 16))
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "done" not in done.stdout
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret.txt"]


@linux
def test_reading_elsewhere_is_refused_where_there_is_landlock(tmp_path):
    done = within(
        'print("Landlock" in str(lacking) or (outside / "secret.txt").read_text())', tmp_path
    )
    assert done.stdout == "True\n" or "Permission denied" in done.stderr


def test_time_and_memory_have_an_end(tmp_path):
    assert "MemoryError" in within("x = bytearray(2**30)", tmp_path).stderr
    (tmp_path / "more").mkdir()
    assert within("while True: pass", tmp_path / "more").returncode == -24  # SIGXCPU


def test_a_file_has_a_largest_size(tmp_path):
    done = within('(inside / "a").write_bytes(bytes(2**27))', tmp_path)
    assert done.returncode != 0
