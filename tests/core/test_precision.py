"""Sums are in 32 bits at least, and in 64 where a device has them."""

import pytest
import torch

from latentgeo.core.precision import wide, widest


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_in_float32_at_least(dtype):
    assert wide(dtype) == torch.float32 and wide(torch.float64) == torch.float64


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)],
)
def test_metal_has_no_float64(device, dtype):
    assert widest(torch.device(device)) == dtype
