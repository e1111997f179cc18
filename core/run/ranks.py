"""Ranks of a distributed run: who and how many, and means over all of them.

Every function works in one process without torchrun, and in each process of a run that torchrun
started (gloo on CPUs, NCCL on GPUs).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The place of a process in a distributed run; alone, it is rank 0 of 1."""

    rank: int = 0  # among all processes
    world: int = 1  # how many processes there are
    local: int = 0  # among the processes of this machine: the index of its GPU

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0


def ranks() -> Ranks:
    """Return this process's place, from the environment that torchrun sets."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Ranks()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return Ranks(rank=rank, world=world, local=int(os.environ.get("LOCAL_RANK", "0")))


def is_main() -> bool:
    """Return whether this process writes the files and shows the progress."""
    return ranks().is_main


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started for the duration of a `with` block.

    gloo on the CPU, NCCL on GPUs. Without torchrun, or inside another such block, it does nothing.
    """
    here = ranks()
    if "RANK" not in os.environ or dist.is_initialized():
        yield here
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield here
    finally:
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until every process of the run is here."""
    if dist.is_initialized():
        dist.barrier()


def all_reduce_mean(value: Tensor) -> Tensor:
    """Return the mean of a floating-point tensor over processes, bit-identical on all of them.

    The shape is that of `value`. Raises ValueError for a tensor of another kind.
    """
    if not value.is_floating_point():
        raise ValueError(f"all_reduce_mean: got {value.dtype}, wanted a floating-point tensor")
    if not dist.is_initialized():
        return value.detach().clone()
    total = value.detach().to(_accumulator([value]), copy=True)
    dist.all_reduce(total)
    return (total / dist.get_world_size()).to(value.dtype)


def on_any_rank(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Return which flags are up on any rank."""
    if ranks().world == 1:
        return list(flags)
    up = torch.tensor([float(flag) for flag in flags], device=device)
    return [value > 0 for value in all_reduce_mean(up).tolist()]


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each parameter's gradient by its mean over processes, in one flat all-reduce.

    A gradient that is None on some processes counts as zero there; one that is None on all of them
    stays None, so that the optimizer skips it. Sums are float64 if a parameter is, else float32.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not dist.is_initialized() or not trained:
        return
    total = torch.cat([_flat_gradient(parameter) for parameter in trained]).to(
        _accumulator(trained)
    )
    present = total.new_tensor([parameter.grad is not None for parameter in trained])
    total = torch.cat([total, present])
    dist.all_reduce(total)
    sizes = [parameter.numel() for parameter in trained]
    *sums, present = total.split([*sizes, len(trained)])
    for parameter, summed, count in zip(trained, sums, present.tolist(), strict=True):
        if count:
            mean = summed.view_as(parameter) / dist.get_world_size()
            parameter.grad = mean.to(parameter.dtype)


def _flat_gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    return (torch.zeros_like(parameter) if gradient is None else gradient).detach().reshape(-1)


def _accumulator(tensors: Sequence[Tensor]) -> torch.dtype:
    exact = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if exact else torch.float32
