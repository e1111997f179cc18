"""A process that answers, crashes, hangs, or is cut short in the middle of a line."""

import signal
import sys
import time

import pytest

from latentgeo.eval.runs.isolated import WAIT, Isolated, Stalled

ECHO = "import json, sys; job = json.load(sys.stdin); print(json.dumps({'got': job['n']}))"
LONG = 60.0


def isolated(code, job=None, errors=None):
    return Isolated([sys.executable, "-c", code], job or {}, errors)


def test_it_is_given_its_job_and_heard():
    with isolated(ECHO, {"n": 17}) as process:
        assert list(process.messages(LONG)) == [{"got": 17}]
        assert process.status() == 0


def test_a_job_larger_than_a_pipe_arrives():
    with isolated(ECHO, {"n": "x" * 300_000}) as process:
        assert [len(message["got"]) for message in process.messages(LONG)] == [300_000]


def test_a_crash_ends_the_messages_and_is_the_status():
    code = "import os; print('{}', flush=True); os.kill(os.getpid(), 11)"
    with isolated(code) as process:
        assert list(process.messages(LONG)) == [{}]
        assert process.status() == -signal.SIGSEGV


def test_a_line_that_a_crash_cut_short_is_no_message():
    code = (
        "import os, sys; print('{}'); sys.stdout.write('{\"a\": '); sys.stdout.flush(); os._exit(3)"
    )
    with isolated(code) as process:
        assert list(process.messages(LONG)) == [{}]
        assert process.status() == 3


def test_silence_is_not_waited_for_without_end():
    start = time.monotonic()
    with isolated("import time; print('{}', flush=True); time.sleep(600)") as process:
        messages = process.messages(3)
        assert next(messages) == {}
        with pytest.raises(Stalled, match="nothing was heard for 3 s"):
            next(messages)
        assert process.status() == -signal.SIGKILL
    assert time.monotonic() - start < LONG


def test_it_is_gone_after_the_block_whatever_happened():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), isolated("import time; time.sleep(600)") as process:
        raise KeyboardInterrupt
    assert process.status() == -signal.SIGKILL
    assert time.monotonic() - start < WAIT / 2


def test_what_it_complains_of_is_kept(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    with isolated("import sys; sys.exit('reason')", errors=log) as process:
        assert list(process.messages(LONG)) == [] and process.status() == 1
    assert log.read_text() == "before\nreason\n"


def test_one_that_never_listens_is_no_error_here():
    with isolated("import os; os.close(0); os._exit(5)", {"n": "x" * 300_000}) as process:
        assert list(process.messages(LONG)) == [] and process.status() == 5
