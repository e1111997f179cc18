"""The rates of the roofline, from a clock that says how long everything took."""

import pytest
import torch

from latentgeo.kernels.bench.measure import HostClock
from latentgeo.kernels.bench.roofline import measure_roofline


def test_rates_are_work_over_time(clock):
    found = measure_roofline(clock, side=16, copied=5000)
    assert found.flop_per_second == pytest.approx(
        dict.fromkeys(("bf16", "fp16", "fp32"), 2 * 16**3 / 1e-3)
    )
    assert found.bytes_per_second == pytest.approx(2 * 5000 / 1e-3)
    assert found.device == "cpu"


def test_it_is_one_line():
    line = str(measure_roofline(HostClock(), side=16, copied=5000))
    assert line.startswith("cpu: ") and "TFLOP/s (bf16)" in line and "GB/s in a copy" in line
    assert "\n" not in line


def test_float32_is_measured_as_tf32_and_what_was_set_is_back(clock, monkeypatch):
    products, seen = torch.backends.cuda.matmul, []
    before, times = products.fp32_precision, clock.times

    def noting(run, repeats):
        seen.append(products.fp32_precision)
        return times(run, repeats)

    monkeypatch.setattr(clock, "times", noting, raising=False)
    measure_roofline(clock, side=16, copied=5000)
    assert seen == ["tf32"] * 6 + [before] * 2 and products.fp32_precision == before
