"""Several processes of a run, for tests: forked, on the CPU, with gloo."""

import os
import socket
from collections.abc import Callable

import torch
import torch.multiprocessing as mp
from torch import Tensor

from latentgeo.core.run.ranks import process_group

CPU = torch.device("cpu")


def together(world: int, work: Callable[[], object]) -> None:
    """Have so many ranks do the work; what fails on one is raised here."""
    mp.start_processes(_rank, (world, _free_port(), work), nprocs=world, start_method="fork")


def _rank(rank: int, world: int, port: int, work: Callable[[], object]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with process_group(CPU):
        work()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    """Assert that two tables have the same names, and tensors as close as that."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        wanted, got = torch.as_tensor(value), torch.as_tensor(other[name])
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance, msg=name)
