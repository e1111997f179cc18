"""A step's phases by name, for a GPU's profiler: `nsys profile --trace cuda,nvtx`, ncu --nvtx."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

Phase = Callable[[str], AbstractContextManager[None]]


def phases(on: bool) -> Phase:
    """Return what names a `with` block: by an NVTX range, or not at all."""
    return _named if on else lambda name: nullcontext()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Backward passes stay on this thread: NVTX's ranges are a thread's."""
    with torch.autograd.set_multithreading_enabled(False), torch.cuda.nvtx.range(name):
        yield
