"""What is compiled for a request, and that one kernel's failure does not end the report."""

import os
import pickle
import subprocess

import pytest

from latentgeo.kernels.aot.rows import Failure, Request

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"
)
REQUEST = Request(
    arch=("sm_80", "sm_90"), dtype=("bf16",), head_dims=(40,), kernels=("attention.hvp", "gates")
)


@pytest.fixture(scope="module")
def module():
    """What is tested, which imports triton."""
    from latentgeo.kernels.aot import jobs

    return jobs


def test_jobs_are_what_the_request_covers(module):
    found = module.jobs(REQUEST)
    assert {arch for arch, _ in found} == set(REQUEST.arch)
    names = {entry.name for _, entry in found}
    assert {"attention.hvp_queries", "attention.hvp_keys", "gates.silu_kernel"} <= names
    assert not {name for name in names if not REQUEST.wants(name)}
    for arch, entry in found:
        assert REQUEST.covers(f"{arch} {entry.dtype} {entry.name} d={entry.head_dim or 40}")


def test_a_failure_is_an_outcome(module, monkeypatch):
    """In the order of the jobs, and in one line."""

    def measure(arch, entry, folder):
        if entry.variant == "-b":
            raise subprocess.CalledProcessError(1, "ptxas")
        raise RuntimeError("no\n  registers")

    monkeypatch.setattr(module, "measure", measure)
    found = [job for job in module.jobs(REQUEST) if job[1].kernel == "silu_kernel"][:2]
    first, second = module.outcomes(found, 1)
    expected = "sm_80 bf16 gates.silu_kernel silu -a -b"
    assert first == Failure(key=expected, message="RuntimeError: no registers")
    assert "CalledProcessError" in second.message and second.key == expected.replace(" -a", "")


def test_specializations_can_be_sent_to_other_processes(module):
    entries = [entry for _, entry in module.jobs(REQUEST)]
    again = pickle.loads(pickle.dumps(entries))
    assert again == entries and again[0].named == entries[0].named
