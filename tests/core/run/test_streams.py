"""stdout and stderr of any encoding, or none: nothing that is printed is fatal."""

import os
import subprocess
import sys

import pytest

from latentgeo.core.run.main import commands

PRINT = (
    "import sys; from latentgeo.core.run.cli import guarded\n"
    "sys.exit(guarded('x', lambda: print('\\u03bb \\udce9 \\xe9')))"
)
FAIL = (
    "import sys; from latentgeo.core.run.cli import guarded\n"
    "def fail(): raise ValueError('\\u03bb')\n"
    "sys.exit(guarded('x', fail))"
)


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
        "import os, sys; from latentgeo.core.run.cli import guarded\n"
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
