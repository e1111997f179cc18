"""The device and the dtype that a run is on, by the names that its options take.

No mathematics; it imports torch alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from latentgeo.core.run.ranks import ranks

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
        raise ValueError("device: got 'mps', but torch finds no Metal GPU here; wanted auto or cpu")
    if name in ("cpu", "mps"):
        return torch.device(name)
    kind, colon, index = name.partition(":")
    if kind != "cuda" or (colon and not (index.isascii() and index.isdigit())):
        raise ValueError(f"device: got {name!r}, wanted auto, cpu, cuda, cuda:<index> or mps")
    return _cuda(name, int(index) if colon else ranks().local)


def _cuda(name: str, index: int) -> torch.device:
    if not torch.cuda.is_available():
        raise ValueError(
            f"device: got {name!r}, but torch finds no CUDA GPU here; wanted auto or cpu"
        )
    if index >= (count := torch.cuda.device_count()):
        raise ValueError(f"device: got {name!r}, wanted cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", index)


def pick_dtype(name: str = "fp32") -> torch.dtype:
    """Return the torch dtype of "fp32", "bf16", "fp16" or "fp64", else raise `ValueError`."""
    if name not in DTYPES:
        raise ValueError(f"dtype: got {name!r}, wanted one of {', '.join(DTYPES)}")
    return DTYPES[name]


def moved(x: Tensor, device: torch.device) -> Tensor:
    """Return x (...) of the CPU on a device; nobody waits for a copy to a GPU."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Multiply float32 matrices and convolve on GPUs in TF32, or in full, in a `with` block.

    TF32 has 10 bits of a fraction in place of 23. PyTorch's own default is both: convolutions in
    TF32, products in full.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    _set_tf32("high" if on else "highest", on)
    try:
        yield
    finally:
        _set_tf32(*before)


def _set_tf32(products: str, convolutions: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
