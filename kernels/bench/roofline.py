"""What the machine can do, measured in the same run: a large matrix product and a large copy."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch

from latentgeo.kernels.bench.cases import DTYPES
from latentgeo.kernels.bench.measure import Call, Clock

PRODUCTS: Final = ("bf16", "fp16", "fp32")
SIDE: Final = 8192  # of the matrices of a product
COPY: Final = 1 << 30  # bytes of what is copied
WARM_UP, REPEATS = 2, 10


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """A device and the rates that nothing on it runs above."""

    device: str
    flop_per_second: Mapping[str, float]  # of a matrix product, by the name of the dtype
    bytes_per_second: float  # of a copy, bytes read and written

    def __str__(self) -> str:
        """Return one line."""
        rates = (f"{rate / 1e12:.1f} TFLOP/s ({n})" for n, rate in self.flop_per_second.items())
        copied = f"{self.bytes_per_second / 1e9:.0f} GB/s"
        return f"{self.device}: {', '.join(rates)} in a matrix product, {copied} in a copy"


def measure_roofline(clock: Clock, side: int = SIDE, copied: int = COPY) -> Roofline:
    """Measure products of side × side matrices and a copy of so many bytes."""
    cuda = clock.device.type == "cuda"
    return Roofline(
        device=torch.cuda.get_device_name() if cuda else str(clock.device),
        flop_per_second={name: _product(clock, DTYPES[name], side) for name in PRODUCTS},
        bytes_per_second=_copy(clock, copied),
    )


def _product(clock: Clock, dtype: torch.dtype, side: int) -> float:
    """Return FLOP per second of a product, of random numbers: zeros take less power.

    In float32 it is TF32's, of the tensor cores: nothing that is as exact as float32 can be faster.
    """
    a, b = (torch.randn(side, side, device=clock.device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with _tf32():
        return 2 * side**3 / _median(clock, lambda: torch.mm(a, b, out=out))


@contextmanager
def _tf32() -> Iterator[None]:
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        yield
    finally:
        products.fp32_precision = before


def _copy(clock: Clock, size: int) -> float:
    """Return bytes read and written per second."""
    source = torch.randint(127, (size,), dtype=torch.int8, device=clock.device)
    target = torch.empty_like(source)
    return 2 * size / _median(clock, lambda: target.copy_(source))


def _median(clock: Clock, run: Call) -> float:
    clock.times(run, WARM_UP)
    return statistics.median(clock.times(run, REPEATS))
