"""A pytest plugin: run each test that a pipe names, and answer with what became of it.

The process begins with TRITON_INTERPRET=1 and PIPE, the number of the pipe's end.
"""

import os
from contextlib import suppress
from multiprocessing.connection import Connection

import pytest
from _pytest.runner import runtestprotocol

PIPE = "LATENTGEO_INTERPRETER_PIPE"


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    items = {item.nodeid: item for item in session.items}
    with Connection(int(os.environ[PIPE])) as pipe, suppress(EOFError):
        while True:
            item = items[pipe.recv()]
            pipe.send(outcome(runtestprotocol(item, log=False, nextitem=None)))
    return True


def outcome(reports):
    """Return ("passed" | "skipped" | "failed", why) of the reports of one test."""
    for report in reports:
        if report.failed:
            return "failed", report.longreprtext
    for report in reports:
        if report.skipped:
            return "skipped", report.longrepr[2].removeprefix("Skipped: ")
    return "passed", ""
