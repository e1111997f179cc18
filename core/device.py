"""The machine a run is on: device and dtype, seeds, ranks of a distributed run, progress.

Like `cli.py`, `config.py` and `files.py` this is not mathematics. It imports torch; numpy and tqdm
only where a function needs them. Every function works in one process without torchrun, and in each
process of a run that torchrun started (gloo on CPUs, NCCL on GPUs).
"""

import hashlib
import math
import os
import random
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar, cast, overload

import torch
import torch.distributed as dist
from torch import Tensor

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp64": torch.float64,
}


def pick_device(name: str = "auto") -> torch.device:
    """Return the device named "auto", "cpu", "cuda", "cuda:<index>" or "mps".

    "auto" is a CUDA GPU if there is one and else the CPU (never "mps", which has no float64).
    Under torchrun "auto" and "cuda" are the GPU of this process's local rank. Raises `ValueError`
    for any other name and for a device that this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps': torch finds no Metal GPU on this machine")
    if name in ("cpu", "mps"):
        return torch.device(name)
    kind, colon, index = name.partition(":")
    if kind != "cuda" or (colon and not (index.isascii() and index.isdigit())):
        raise ValueError(f"device: got {name!r}, wanted auto, cpu, cuda, cuda:<index> or mps")
    return _cuda(name, int(index) if colon else ranks().local)


def _cuda(name: str, index: int) -> torch.device:
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: torch finds no CUDA GPU on this machine")
    if index >= (count := torch.cuda.device_count()):
        raise ValueError(f"device {name!r}: GPU {index} wanted, but there are {count} (from 0)")
    return torch.device("cuda", index)


def pick_dtype(name: str = "fp32") -> torch.dtype:
    """Return the torch dtype of "fp32", "bf16", "fp16" or "fp64", else raise `ValueError`."""
    if name not in DTYPES:
        raise ValueError(f"dtype: got {name!r}, wanted one of {', '.join(DTYPES)}")
    return DTYPES[name]


def mix(seed: int, *stream: int | str) -> int:
    """Return a 63-bit seed for one named stream of random numbers: `mix(seed, "noise", rank)`.

    Without a stream it is the seed itself. Streams of neighbouring seeds or ranks do not coincide.
    """
    if not stream:
        return seed
    digest = hashlib.sha256(repr((seed, *stream)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *stream: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for one named stream.

    Draw on the CPU and move the tensor where a result must not depend on the device.
    """
    return torch.Generator(device).manual_seed(mix(seed, *stream))


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed the global generators of python, numpy and torch, differently on each rank."""
    import numpy

    seed = mix(seed, "global", rank)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_random_state(device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return the global generators' states as tensors: python, numpy, torch on CPU and on a GPU.

    Tensors alone, so that safetensors and `torch.load(weights_only=True)` carry them.
    """
    import numpy

    _, words, gauss = random.getstate()
    twister = numpy.random.get_state(legacy=False)
    state = {
        "python": torch.tensor(words),
        "python.gauss": torch.tensor(math.nan if gauss is None else gauss, dtype=torch.float64),
        "numpy": torch.tensor([*twister["state"]["key"].tolist(), twister["state"]["pos"]]),
        "numpy.has_gauss": torch.tensor(twister["has_gauss"]),
        "numpy.gauss": torch.tensor(twister["gauss"], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Tensor], device: torch.device | str = "cpu") -> None:
    """Set the global generators to what `capture_random_state` returned.

    Warns when the state's GPU generator is missing or has no GPU to go to: the run then continues
    with other random numbers than it would have had.
    """
    import numpy

    gauss = state["python.gauss"].item()
    words = tuple(state["python"].tolist())
    random.setstate((3, words, None if math.isnan(gauss) else gauss))
    *keys, position = state["numpy"].tolist()
    twister = {
        "bit_generator": "MT19937",
        "state": {"key": numpy.array(keys, dtype=numpy.uint32), "pos": position},
        "has_gauss": state["numpy.has_gauss"].item(),
        "gauss": state["numpy.gauss"].item(),
    }
    numpy.random.set_state(twister)
    torch.set_rng_state(state["torch"].cpu())
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    elif on_gpu or "cuda" in state:
        warnings.warn(f"the random state was not captured for device {device}", stacklevel=2)


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


class Bar(Protocol[T_co]):
    """What `progress` returns: iterate over it, or call `update` inside a `with` block."""

    def __iter__(self) -> Iterator[T_co]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def update(self, n: int = 1) -> object:
        """Count n more units as done."""

    def set_postfix(self, **values: object) -> None:
        """Show values, such as the loss, after the rate."""


@overload
def progress(
    items: Iterable[T],
    *,
    total: int | None = ...,
    initial: int = ...,
    label: str = ...,
    unit: str = ...,
) -> Bar[T]: ...
@overload
def progress(
    *, total: int | None = ..., initial: int = ..., label: str = ..., unit: str = ...
) -> Bar[None]: ...
def progress(
    items: Iterable[T] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    label: str = "",
    unit: str = "step",
) -> Bar[T] | Bar[None]:
    """Show how far a loop is, its rate and the time left, on stderr of the main process only.

    A terminal is redrawn as the loop runs; a log file gets a line every half minute.
    """
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 30.0
    bar = tqdm(
        items,
        desc=label or None,
        total=total,
        initial=initial,
        unit=f" {unit}",
        disable=not is_main(),
        mininterval=pause,
        maxinterval=max(pause, 10.0),
        delay=0.0 if sys.stderr.isatty() else pause,
        dynamic_ncols=True,
    )
    return cast("Bar[T]", bar)
