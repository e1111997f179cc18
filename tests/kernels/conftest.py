"""Run tests marked `interpret` in Triton's interpreter, whatever the environment of the session.

Triton reads TRITON_INTERPRET once, when it is imported, so a session that began without it cannot
interpret a kernel. There, all selected tests with the mark run in one subprocess that has it, when
the first of them is due, and each reports here what became of it there.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

INTERPRETING = os.environ.get("TRITON_INTERPRET") == "1"
OUTCOMES = pytest.StashKey[dict[str, ET.Element]]()


def pytest_configure(config):
    config.addinivalue_line("markers", "interpret: runs kernels in Triton's interpreter")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if INTERPRETING or not pyfuncitem.get_closest_marker("interpret"):
        return None
    session = pyfuncitem.session
    if OUTCOMES not in session.stash:
        session.stash[OUTCOMES] = outcomes(session)
    case = session.stash[OUTCOMES].get(key(pyfuncitem))
    if case is None:
        pytest.fail(f"the interpreter's process ended before {pyfuncitem.nodeid}", pytrace=False)
    for problem in [*case.iter("failure"), *case.iter("error")]:
        pytest.fail(problem.text or "", pytrace=False)
    for skipped in case.iter("skipped"):
        pytest.skip(skipped.get("message", ""))
    return True


def key(item):
    """Return the test's name as JUnit's XML has it, "tests.kernels.test_x::test_y[z]"."""
    module = item.nodeid.split("::")[0].removesuffix(".py").replace("/", ".")
    return f"{module}::{item.name}"


def outcomes(session):
    """Run the session's marked tests in the interpreter and return their entries of the report."""
    factory = session.config._tmp_path_factory
    report = Path(factory.mktemp("interpreter")) / "report.xml"
    marked = [item.nodeid for item in session.items if item.get_closest_marker("interpret")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
    ]
    done = subprocess.run(
        [*command, *marked],
        cwd=session.config.rootpath,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    if not report.exists():
        pytest.fail(f"the interpreter's process failed:\n{done.stdout}{done.stderr}", pytrace=False)
    cases = ET.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": case for case in cases}
