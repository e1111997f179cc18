"""A file is its old version or its new one, whatever happens between."""

import errno
import hashlib
import os
import stat
import subprocess
import sys

import pytest

from latentgeo.core.run.files import atomic_write, sha256
from tests.forked import forked

CONTENTS = [b"new", "new", lambda file: file.write(b"new")]


@pytest.mark.parametrize("content", CONTENTS, ids=["bytes", "text", "writer"])
def test_content_arrives_and_nothing_else_stays(tmp_path, content):
    path = tmp_path / "deep" / "er" / "file.bin"
    assert atomic_write(path, content) == path
    atomic_write(path, content)
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file.bin"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError()]
)
def test_the_old_file_survives_a_failed_write(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def writer(file):
        file.write(b"half of the n")
        raise error

    with pytest.raises(type(error)):
        atomic_write(path, writer)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the file size as Linux does")
def test_a_real_write_error_names_the_file_once(tmp_path):
    """A process whose files may hold 4 KiB writes 1 MiB: the kernel refuses in mid-write."""
    code = (
        "import resource, signal, sys; from latentgeo.core.run.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from latentgeo.core.run.main import guarded\n"
        "sys.exit(guarded('x', lambda: atomic_write(sys.argv[1], bytes(2**20))))"
    )
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-B", "-c", code, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"x: could not write {path}: File too large\n")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the file size as Linux does")
def test_the_system_is_heard_through_torchs_own_error(tmp_path):
    """torch.save says "unexpected pos" of a file of which the system takes no more."""
    code = (
        "import resource, signal, sys, torch; from latentgeo.core.run.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from latentgeo.core.run.main import guarded\n"
        "state = {'a': torch.zeros(200_000), 'b': torch.zeros(10)}\n"
        "write = lambda: atomic_write(sys.argv[1], lambda file: torch.save(state, file))\n"
        "sys.exit(guarded('x', write))"
    )
    path = tmp_path / "file.bin"
    done = forked(code, str(path))
    assert (done.returncode, done.stderr) == (1, f"x: could not write {path}: File too large\n")
    assert not os.listdir(tmp_path)


def test_a_folder_in_the_way_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError, match=str(tmp_path / "file")):
        atomic_write(tmp_path / "file", b"")
    assert os.listdir(tmp_path) == ["file"]


def test_the_mode_is_what_the_umask_says(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    path = atomic_write(tmp_path / "file", b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_data_reach_the_disk_before_the_rename(tmp_path, monkeypatch):
    """Fsync of the file, then the rename, then fsync of the folder: the order is the guarantee."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def recorded_replace(old, new):
        calls.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    atomic_write(tmp_path / "file", b"new")
    assert calls == ["file", "rename", "folder"]


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = atomic_write(tmp_path / "file", b"abc" * 100_003)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_003).hexdigest()
