"""Which implementation an operator runs: its plain PyTorch reference or its Triton kernel.

The environment variable LATENTGEO_KERNELS decides, at every call:

auto        the kernels for float16, bfloat16 and float32 on NVIDIA GPUs of compute capability 8.0
            and up and on AMD GPUs, if triton is installed; the reference elsewhere (the default)
reference   the reference, everywhere
triton      the kernels; `RuntimeError` where they cannot run

On a CPU the kernels run only in Triton's interpreter, in a process that began with
TRITON_INTERPRET=1: Triton reads that variable once, when it is imported.
"""

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

CHOICES = ("auto", "reference", "triton")
DTYPES = (torch.float16, torch.bfloat16, torch.float32)  # of the kernels; in the interpreter any


def use_triton(*tensors: Tensor, obstacle: str | None = None) -> bool:
    """Whether the Triton kernel is to run on these tensors (...), of any shapes.

    `obstacle` is what an operator knows to keep its kernel from them, in words. Raises `ValueError`
    for a LATENTGEO_KERNELS that is none of `CHOICES`, and `RuntimeError` if it is "triton" and the
    kernel cannot run.
    """
    choice = os.environ.get("LATENTGEO_KERNELS", "auto")
    if choice not in CHOICES:
        raise ValueError(f"LATENTGEO_KERNELS: got {choice!r}, wanted one of {', '.join(CHOICES)}")
    if choice == "reference":
        return False
    if choice == "auto" and not all(tensor.is_cuda for tensor in tensors):
        return False
    obstacle = obstacle or _obstacle(tensors)
    if choice == "triton" and obstacle:
        raise RuntimeError(f"LATENTGEO_KERNELS=triton: {obstacle}")
    return not obstacle


def autocasting(device: torch.device) -> bool:
    """Whether autocast is on for a device; False for one that has none, such as meta."""
    kind = device.type
    return _has_autocast(kind) and torch.is_autocast_enabled(kind)


@torch.compiler.assume_constant_result
def _has_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)


def cast(x: Tensor) -> Tensor:
    """Return x (...) in autocast's dtype where autocast is on, but float64 as it is."""
    if not autocasting(x.device) or x.dtype == torch.float64:
        return x
    return x.to(torch.get_autocast_dtype(x.device.type))


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which autocast is off for a device."""
    return torch.autocast(device.type, enabled=False) if autocasting(device) else nullcontext()


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on")


def _obstacle(tensors: tuple[Tensor, ...]) -> str | None:
    """Return what keeps a kernel from running on these tensors, or None."""
    if not _triton_is_installed():
        return "the package triton is not installed"
    if interpreting():
        return None
    for tensor in tensors:
        if not tensor.is_cuda:
            return f"a tensor is on {tensor.device}; without TRITON_INTERPRET=1 it has to be a GPU"
        if tensor.dtype not in DTYPES:
            return f"there are kernels for float16, bfloat16 and float32, not for {tensor.dtype}"
        if not _is_recent(tensor.device):
            return f"{tensor.device} has a compute capability below 8.0"
    return None


@cache
def _triton_is_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _is_recent(device: torch.device) -> bool:
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
