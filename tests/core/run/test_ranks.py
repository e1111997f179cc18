"""Ranks, means and gradients, alone and in a process group of two."""

import socket

import pytest
import torch

from latentgeo.core.run.ranks import (
    Ranks,
    all_reduce_mean,
    average_gradients,
    barrier,
    is_main,
    process_group,
    ranks,
)
from tests.forked import Forked


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Tests run as one process even under torchrun."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_alone_everything_is_the_identity():
    assert ranks() == Ranks(rank=0, world=1, local=0)
    assert is_main()
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    with process_group(torch.device("cpu")) as here:
        assert here.is_main
        barrier()
        mean = all_reduce_mean(value)
        value.grad = torch.tensor([3.0, 4.0])
        average_gradients([value])
    assert torch.equal(mean, value) and not mean.requires_grad
    assert mean.data_ptr() != value.data_ptr()
    assert value.grad.tolist() == [3.0, 4.0]
    with pytest.raises(ValueError, match=r"got torch.int64, wanted a floating-point tensor"):
        all_reduce_mean(torch.tensor(1))


MEMBER = """
import sys, torch
import torch.distributed as dist
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.progress import progress
from latentgeo.core.run.ranks import all_reduce_mean, average_gradients, barrier
from latentgeo.core.run.ranks import is_main, process_group
device = pick_device("cpu")
with process_group(device) as here:
    assert is_main() == (here.rank == 0) and here.world == 2 == dist.get_world_size()
    with process_group(device) as inner:
        assert inner == here
    assert dist.is_initialized()
    rank = here.rank
    exact = torch.tensor([1 + rank * 2.0 ** -44], dtype=torch.float64)
    assert all_reduce_mean(exact).item() == 1 + 2.0 ** -45
    half = all_reduce_mean(torch.tensor([256.0 + rank], dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    double = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    single = torch.zeros(5, requires_grad=True)
    absent = torch.zeros(7, requires_grad=True)
    frozen = torch.zeros(11)
    double.grad = torch.full((2, 3), 1 + rank * 2.0 ** -44, dtype=torch.float64)
    single.grad = torch.full((5,), 9.0) if rank == 1 else None
    average_gradients([double, single, absent, frozen])
    assert double.grad.shape == (2, 3) and (double.grad == 1 + 2.0 ** -45).all()
    assert single.grad.dtype == torch.float32 and (single.grad == 4.5).all()
    assert absent.grad is None and frozen.grad is None
    for _ in progress(range(3), label="loop"):
        pass
    barrier()
assert not dist.is_initialized()
print("done", rank)
"""


def test_two_processes_agree():
    """The mean of 1 and 1 + 2h is 1 + h; in float32, h = 2^-45 would vanish."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    members = [Forked(MEMBER, **shared, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    results = [member.wait() for member in members]
    assert [one.stdout for one in results] == [f"done {rank}\n" for rank in range(2)], results
