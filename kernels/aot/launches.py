"""Launches of Triton kernels seen instead of made, with tensors that have a shape and no data.

On PyTorch's meta device the operators run as they would on a GPU, up to the launch of each kernel,
which is handed to whoever wants to know it: what it moves (`eval/bench/meter.py`), what machine
code it would be (`specialize.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

from torch import Tensor

# What is to be done with a launch: kernel, grid, positional and named arguments
OnLaunch = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], None]


def _use_triton(*tensors: Tensor, obstacle: str | None = None) -> bool:
    return not obstacle


# What stands in for what, so that latentgeo.kernels run on the meta device as they do on a GPU
KERNELS_ON_META: Final[dict[str, Callable[..., Any]]] = {
    "latentgeo.kernels.attention.autograd:use_triton": _use_triton,
    "latentgeo.kernels.wiring.autograd:use_triton": _use_triton,
}


@contextmanager
def kernels_on_meta() -> Iterator[None]:
    """Have latentgeo.kernels launch kernels for meta tensors, in a `with` block."""
    with ExitStack() as stack:
        for target, stand_in in KERNELS_ON_META.items():
            stack.enter_context(replaced(target, stand_in))
        yield


@contextmanager
def intercepted(on_launch: OnLaunch) -> Iterator[None]:
    """Hand launches of Triton kernels to `on_launch` instead of making them, in a `with` block."""

    def launch(kernel: Any, grid: Any, *args: Any, **kwargs: Any) -> None:
        on_launch(kernel, grid, args, kwargs)

    def indexed(kernel: Any, grid: Any) -> Callable[..., None]:
        return partial(launch, kernel, grid)

    with replaced("triton.runtime.jit:KernelInterface.__getitem__", indexed):
        yield


@contextmanager
def replaced(target: str, stand_in: Any) -> Iterator[None]:
    """Put `stand_in` where "module:name.of.it" is looked up, in a `with` block."""
    module, path = target.split(":")
    *parents, name = path.split(".")
    place: Any = importlib.import_module(module)
    for parent in parents:
        place = getattr(place, parent)
    original = getattr(place, name)
    setattr(place, name, stand_in)
    try:
        yield
    finally:
        setattr(place, name, original)
