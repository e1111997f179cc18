"""Requests, keys of rows, and what is called a flaw."""

import json
from dataclasses import asdict, replace

import pytest

from latentgeo.kernels.aot.rows import MEASURED, Request, flaws, request_of, row_of


def test_a_request_wants_kernels_by_the_beginnings_of_their_names():
    request = Request(arch=("sm_80",), kernels=("attention.hvp", "gates"))
    assert request.wants("attention.hvp_keys") and request.wants("gates.silu_kernel")
    assert not request.wants("attention.jvp") and not request.wants("norms.hvp_kernel")


def test_a_request_covers_what_it_would_report(row):
    request = Request(arch=("sm_80",), dtype=("bf16",), head_dims=(40,), kernels=("attention.hvp",))
    assert request.covers(row.key)
    for change in (
        {"arch": "sm_90"},
        {"dtype": "fp16"},
        {"head_dim": 80},
        {"kernel": "jvp"},
        {"family": "norms"},
        {"case": "self bool"},
    ):
        assert not request.covers(replace(row, **change).key)
    assert replace(request, masks=("bool",)).covers(replace(row, case="self bool").key)
    other = replace(row, family="norms", head_dim=None, case="layer_norm of 320")
    assert replace(request, kernels=("norms",)).covers(other.key)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arch": ("sm_70",)}, "arch must be of sm_80, sm_86, sm_89, sm_90, sm_100, got sm_70"),
        ({"arch": ()}, "arch must be of"),
        ({"dtype": ("fp64",)}, "dtype must be of bf16, fp16, fp32, got fp64"),
        ({"kernels": ("hvp",)}, "kernels must be of attention, .*, got hvp"),
        ({"head_dims": (40, 264)}, r"head_dims must be from 1 to 256, got \[40, 264\]"),
        ({"head_dims": ()}, "head_dims must be"),
        ({"masks": ("round",)}, "masked must be of none, bool, additive, causal, got round"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
    ],
)
def test_a_request_refuses_what_there_is_not(wrong, message):
    with pytest.raises(ValueError, match=message):
        Request(**({"arch": ("sm_80",)} | wrong))


def test_keys_tell_rows_apart(row):
    assert row.key == "sm_80 bf16 attention.hvp_keys d=40 self"
    other = replace(row, family="norms", kernel="hvp_kernel", head_dim=None, case="layer_norm of 3")
    assert (
        replace(other, variant="STAGE=1").key
        == "sm_80 bf16 norms.hvp_kernel layer_norm of 3 STAGE=1"
    )


def test_rows_and_requests_survive_json(row):
    request = Request(arch=("sm_80",), kernels=("gates",), jobs=3)
    assert request_of(json.loads(json.dumps(asdict(request)))) == request
    for entry in row, replace(row, tile=None, replication=None):
        assert row_of(json.loads(json.dumps(asdict(entry)))) == entry


def test_measured_numbers_are_in_order(row):
    measured = dict(zip(MEASURED, row.measured, strict=True))
    assert measured["registers"] == 170 and measured["shared"] == 58880 and measured["loop"] == 431


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"loads": 3, "stores": 2, "stack": 8}, ["5 spill instructions"]),
        ({"stack": 16}, ["16 bytes of local memory"]),
        ({"replication": 1.05}, []),
        ({"replication": 2.0}, ["products made 2.00 times"]),
        ({"replication": None}, []),
        ({"shared": 163 * 1024}, []),
        ({"shared": 163 * 1024 + 16}, ["166928 bytes of shared memory"]),
        ({"programs": 0}, ["does not fit a multiprocessor"]),
        (
            {"registers": 32, "stack": 5000, "loads": 900, "collapsed": True},
            ["collapsed: 32 registers and 5000 bytes of stack", "900 spill instructions"],
        ),
    ],
)
def test_flaws(row, change, words):
    assert flaws(replace(row, **change)) == words


def test_a_hopper_has_room_for_more(row):
    assert not flaws(replace(row, arch="sm_90", shared=227 * 1024))
