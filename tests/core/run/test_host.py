"""stdout and stderr of any encoding, or none, full or left; homes that are read only; odd paths."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentgeo.core.run.host import open_caches, writable
from latentgeo.core.run.main import commands

FOLDERS = Path(__file__).parents[3]

PRINT = (
    "import sys; from latentgeo.core.run.main import guarded\n"
    "sys.exit(guarded('x', lambda: print('\\u03bb \\udce9 \\xe9')))"
)
FAIL = (
    "import sys; from latentgeo.core.run.main import guarded\n"
    "def fail(): raise ValueError('\\u03bb')\n"
    "sys.exit(guarded('x', fail))"
)


HOST = "from latentgeo.core.run.host import open_streams; open_streams()\n"


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUTF8"} | environment
    return subprocess.run([sys.executable, *words], capture_output=True, env=env)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("ascii", rb"\u03bb \udce9 \xe9"),
        ("cp1252", b"\\u03bb \\udce9 \xe9"),
        ("utf-8", b"\xce\xbb \\udce9 \xc3\xa9"),
        ("utf-8:strict", b"\xce\xbb \\udce9 \xc3\xa9"),
        ("ascii:replace", b"? ? ?"),
    ],
)
def test_what_a_stream_has_no_character_for_is_escaped(encoding, line):
    """What the user asked for with `ascii:replace` stays; so do paths that are no text."""
    done = run("-c", PRINT, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, line, b"")


def test_the_c_locale_without_utf8_is_one_of_these():
    off = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("-c", PRINT, **off)
    assert (done.returncode, done.stdout) == (0, b"\\u03bb \\udce9 \\xe9\n")
    assert run("-c", FAIL, **off).stderr == b"x: \\u03bb\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_help_and_the_audit_are_printed(encoding):
    code = (
        "import sys; from latentgeo.core.run.main import commands, main\n"
        "sys.exit(max([main([name, '--help']) for name in commands()] + [main(['audit'])]))"
    )
    done = run("-c", code, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"usage: latentgeo ") == len(commands())
    assert b"\\u03bb" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors by a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_without_streams_it_works_in_silence(tmp_path, closed):
    """A file that is opened later is not given the number of a closed stream."""
    code = (
        "import os, sys; from latentgeo.core.run.main import guarded\n"
        "from latentgeo.core.run.progress import progress\n"
        "def work():\n"
        "    with open(sys.argv[1], 'wb') as file:\n"
        "        print('\\u03bb'); print('\\u03bb', file=sys.stderr)\n"
        "        os.write(1, b'!'); os.write(2, b'!')\n"
        "        list(progress([1, 2])); file.write(b'mine')\n"
        "sys.exit(guarded('x', work))"
    )
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code]
    done = subprocess.run([*shell, str(tmp_path / "file")], capture_output=True)
    assert done.returncode == 0
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_streams_that_are_none_as_without_a_console():
    code = "import sys; sys.stdout = sys.stderr = None\n" + PRINT
    assert run("-c", code).returncode == 0
    code = "import sys; sys.stdout = sys.stderr = None\n" + FAIL
    done = run("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("code", "status"), [(FAIL, 2), (PRINT, 0)])
def test_a_full_stderr_changes_no_status(code, status):
    """Nor does it end a run: what is said on the way is lost alone."""
    said = "print('w', file=sys.stderr, flush=True)"
    work = HOST + code.replace("sys.exit", f"{said}; sys.exit")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", work], stdout=full, stderr=full)
        assert done.returncode == (status or 1)  # stdout is full, too, and its text was wanted
        done = subprocess.run([sys.executable, "-c", work], stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_one_line_and_status_1():
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-c", PRINT]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "x: No space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_reader_of_stderr_that_left_changes_no_status():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", FAIL], stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    assert done.returncode == 2


@pytest.fixture
def no_home(monkeypatch):
    """A home where nothing can be made, for whoever: below a file."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, f"{os.devnull}/home")
    for name in ("TRITON_CACHE_DIR", "TRITON_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)


def test_writable_is_what_is_there_or_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    assert writable(tmp_path) and writable(tmp_path / "a" / "b")
    assert not writable(tmp_path / "file") and not writable(tmp_path / "file" / "a")


def test_a_home_that_can_be_written_to_is_left_alone(no_home, monkeypatch, tmp_path):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    open_caches()
    assert not {"TRITON_CACHE_DIR", "MPLCONFIGDIR"} & set(os.environ)
    assert not (tmp_path / "home").exists()


def test_without_a_home_plots_and_kernels_have_a_folder_that_is_removed(no_home):
    code = (
        "import os; from latentgeo.core.run.main import guarded\n"
        "def work():\n"
        "    import matplotlib.font_manager\n"
        "    from triton.runtime.cache import get_cache_manager\n"
        "    print(get_cache_manager('0' * 64).put('x', 'x', binary=False))\n"
        "    print(matplotlib.get_cachedir())\n"
        "guarded('x', work)"
    )
    pytest.importorskip("triton")
    done = run("-c", code)
    places = [Path(line) for line in done.stdout.decode().splitlines()]
    assert (done.returncode, done.stderr, len(places)) == (0, b"", 2)
    assert not any(place.exists() for place in places)


@pytest.mark.slow
def test_a_path_of_spaces_and_letters_of_all_kinds_without_home_or_terminal(no_home, tmp_path):
    """The package there, by links; what it writes, repeats and is told by paths there."""
    place = tmp_path / "über allem – 例 'x'"
    (place / "latentgeo").mkdir(parents=True)
    for name in ("core", "kernels", "models", "train", "infer", "eval"):
        (place / "latentgeo" / name).symlink_to(FOLDERS / name)
    names = ("aus gabe é", "zweite 二")
    code = (
        "import sys; from latentgeo.core.run.main import main; first, second = sys.argv[1:]\n"
        "words = ['--model', 'avatars-ddpm', '--count', '1', '--steps', '1', '--out', first]\n"
        "again = ['--config', f'{first}/run.toml', '--out', second]\n"
        "sys.exit(main(['sample', *words]) or main(['sample', *again]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(place), "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("loading: ")]
    assert (done.returncode, told) == (0, [])  # where loading takes long, that is told
    assert done.stdout.splitlines() == [f"{name}/grid.png" for name in names]
    first, second = (place / name / "0000-seed0.png" for name in names)
    assert first.read_bytes() == second.read_bytes()
