"""The process that loads once: what it says of time and memory."""

import io
import json
import os
import subprocess
import sys
from mmap import mmap

import pytest
import torch

from latentgeo.eval.bench import load_process
from latentgeo.eval.bench.load_process import Job, Load, memory

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.fixture
def loader(monkeypatch):
    """A loader that takes 64 MB of memory it has not had, of which 16 MB are weights."""

    def load(folder, dtype):
        big = torch.ones(1 if folder == "small" else 64_000_000, dtype=torch.uint8)
        del big
        return [torch.nn.Linear(4_000, 1_000, bias=False)]

    monkeypatch.setitem(load_process.LOADERS, "fake", load)


JOB = Job(who="fake", folder="large", small="small", dtype="fp32")


CODE = """
import json, torch
from dataclasses import asdict
from latentgeo.eval.bench import load_process

def load(folder, dtype):
    big = torch.ones(1 if folder == "small" else 64_000_000, dtype=torch.uint8)
    del big
    return [torch.nn.Linear(4_000, 1_000, bias=False)]

load_process.LOADERS["fake"] = load
held = torch.ones(200_000_000, dtype=torch.uint8)  # what was held before does not count
del held
job = load_process.Job(who="fake", folder="large", small="small", dtype="fp32")
print(json.dumps(asdict(load_process.measured(job))))
"""


@linux
def test_what_a_load_takes_is_measured():
    """In a process of its own, in which nothing of other tests is freed meanwhile."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    found = Load(**json.loads(done.stdout))
    assert found.size == 16_000_000 and 0 < found.seconds <= found.usable
    assert 60_000_000 < found.peak < 130_000_000  # pages held before may serve again


@linux
def test_memory_follows_what_is_held():
    """Of pages from the system: an allocator may hand out those that it kept."""
    before = memory("VmRSS")
    with mmap(-1, 50_000_000) as held:
        held.write(b"x" * len(held))
        assert memory("VmRSS") - before > 40_000_000
    assert memory("VmHWM") - before > 40_000_000


@linux
def test_it_answers_in_one_line_whatever_others_print(loader, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(vars(JOB))))
    kept = os.dup(1), os.dup(2)
    try:
        assert load_process.main() == 0
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line)["size"] == 16_000_000


def test_another_system_is_named(monkeypatch):
    monkeypatch.setattr(load_process.Path, "is_file", lambda path: False)
    with pytest.raises(RuntimeError, match="/proc/self/status, which this system does not have"):
        memory("VmRSS")
