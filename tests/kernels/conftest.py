"""Run tests marked `interpret` in Triton's interpreter, whatever the environment of the session.

Triton reads TRITON_INTERPRET once, when it is imported, so a session that began without it cannot
interpret a kernel. It starts one process that has it, when the first such test is due, hands it
each test in turn, and reports here what became of it there.
"""

import os
import subprocess
import sys
from multiprocessing import Pipe

import pytest

from tests.kernels.interpreter import PIPE

INTERPRETING = os.environ.get("TRITON_INTERPRET") == "1"
INTERPRETER = pytest.StashKey["Interpreter"]()


def pytest_configure(config):
    config.addinivalue_line("markers", "interpret: runs kernels in Triton's interpreter")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if INTERPRETING or not pyfuncitem.get_closest_marker("interpret"):
        return None
    stash = pyfuncitem.session.stash
    if INTERPRETER not in stash:
        stash[INTERPRETER] = Interpreter(pyfuncitem.session)
    outcome, why = stash[INTERPRETER].run(pyfuncitem.nodeid)
    if outcome == "skipped":
        pytest.skip(why)
    if outcome == "failed":
        pytest.fail(why, pytrace=False)
    return True


def pytest_sessionfinish(session):
    if INTERPRETER in session.stash:
        session.stash[INTERPRETER].close()


class Interpreter:
    """A pytest process with TRITON_INTERPRET=1 that waits for the names of tests."""

    def __init__(self, session):
        marked = [item for item in session.items if item.get_closest_marker("interpret")]
        files = dict.fromkeys(item.nodeid.split("::")[0] for item in marked)
        self.pipe, end = Pipe()
        self.log = session.config._tmp_path_factory.mktemp("interpreter") / "log.txt"
        plugins = "-p", "tests.kernels.interpreter", "-p", "no:xdist", "-p", "no:cacheprovider"
        environment = {"TRITON_INTERPRET": "1", PIPE: str(end.fileno())}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", *plugins, "-m", "interpret", *files],
                cwd=session.config.rootpath,
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[end.fileno()],
            )
        end.close()

    def run(self, name):
        """Return what became of a test, "passed", "skipped" or "failed", and why."""
        try:
            self.pipe.send(name)
            return self.pipe.recv()
        except (EOFError, OSError):
            said = self.log.read_text()
            return "failed", f"the interpreter's process ended before {name}:\n{said}"

    def close(self):
        """Let the process end."""
        self.pipe.close()
        self.process.wait()
