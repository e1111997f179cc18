"""The process that loads a model once: `python -m latentgeo.eval.bench.load_process`.

It reads a job from stdin, one JSON object (`Job`), loads a small model so that all it takes is
imported and set up, then the model of the job, and writes one JSON object (`Load`) to stdout.

Memory   the most that the process held in main memory, pages of mapped files included, beyond what
         it held before; Linux tells it in /proc
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.core.run.device import pick_dtype

PAGE = 4096  # bytes; the smallest that any machine has


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to load, and by whom."""

    who: str  # a name in LOADERS
    folder: str  # of diffusers
    small: str  # another one, loaded before anything is measured
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a load took."""

    seconds: float  # until the loader returns
    usable: float  # until a byte of every page of every weight was read, too
    peak: int  # bytes
    size: int  # bytes of the weights


def ours(folder: str, dtype: torch.dtype) -> list[nn.Module]:
    """Load by our importer."""
    from latentgeo.models.formats.load import load_text_to_image

    return [*load_text_to_image(folder, dtype=dtype).modules.values()]


def diffusers(folder: str, dtype: torch.dtype) -> list[nn.Module]:
    """Load by diffusers' pipeline."""
    from latentgeo.eval.bench import peers

    pipe = peers.loaded_pipeline(folder, dtype)
    return [pipe.unet, pipe.vae, pipe.text_encoder]


LOADERS: dict[str, Callable[[str, torch.dtype], list[nn.Module]]] = {
    "ours": ours,
    "diffusers": diffusers,
}


def measured(job: Job) -> Load:
    """Load what the job says, and return what it took."""
    load, dtype = LOADERS[job.who], pick_dtype(job.dtype)
    _touch(_weights(load(job.small, dtype)))
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before, start = memory("VmRSS"), time.perf_counter()
    modules = load(job.folder, dtype)
    loaded = time.perf_counter()
    _touch(_weights(modules))
    usable = time.perf_counter()
    return Load(
        seconds=loaded - start,
        usable=usable - start,
        peak=memory("VmHWM") - before,
        size=sum(weight.nbytes for weight in _weights(modules)),
    )


def memory(kind: str) -> int:
    """Return what the process holds (VmRSS) or has held at most (VmHWM), in bytes.

    Raises RuntimeError where the system has no /proc.
    """
    path = Path("/proc/self/status")
    if not path.is_file():
        raise RuntimeError("memory is read from /proc/self/status, which this system does not have")
    found = re.search(rf"{kind}:\s+(\d+) kB", path.read_text(encoding="ascii"))
    assert found is not None
    return 1024 * int(found[1])


def _weights(modules: list[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters()


def _touch(weights: Iterator[Tensor]) -> None:
    """Read a byte of every page."""
    for weight in weights:
        weight.detach().reshape(-1).view(torch.uint8)[::PAGE].sum()


def main() -> int:
    """Do the job on stdin and return the exit status."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print goes to stderr
    job: dict[str, Any] = json.load(sys.stdin)
    print(json.dumps(asdict(measured(Job(**job)))), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
