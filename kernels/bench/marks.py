"""Ranges that profilers show and filter by: NVTX's, and PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def marked(case: str, contender: str, device: torch.device) -> Iterator[None]:
    """Name what runs in a `with` block "<case> <contender>".

    Backward passes run on the caller's thread in it: NVTX's ranges are per thread, and autograd's
    own threads would be outside.
    """
    name = f"{case} {contender}"
    nvtx = torch.cuda.nvtx.range(name) if device.type == "cuda" else nullcontext()
    one_thread = torch.autograd.set_multithreading_enabled(False)
    with one_thread, torch.profiler.record_function(name), nvtx:
        yield
