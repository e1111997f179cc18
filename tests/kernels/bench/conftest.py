"""Small operators to run on a CPU, and a clock of which the hands are set by the test."""

from dataclasses import dataclass, field

import pytest
import torch

from latentgeo.kernels.bench import attentions, operators
from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.roofline import Roofline


@dataclass
class StandIn:
    """A device that runs on the CPU, tells the times it is given, and can be made to fail."""

    seconds: float = 1e-3  # of every run
    bytes: int = 1000  # at the peak
    dies: bool = False  # whether it answers no more
    runs: list = field(default_factory=list)  # what was run, in order
    device = torch.device("cpu")

    def times(self, run, repeats):
        for _ in range(repeats):
            self.runs.append(run)
            run()
        return [self.seconds] * repeats

    def peak(self, run):
        run()
        return self.bytes

    def captured(self, run):
        return None

    def release(self):
        """Do nothing."""

    def alive(self):
        return not self.dies


@pytest.fixture
def clock():
    return StandIn()


@pytest.fixture
def roofline():
    rates = {"bf16": 2e12, "fp16": 1e12, "fp32": 5e11}
    return Roofline(device="stand-in", flop_per_second=rates, bytes_per_second=1e9)


SMALL = {
    "self": attentions.self_attention(13, 8, 3, 2),
    "causal": attentions.self_attention(13, 8, 3, 2, causal=True),
    "bool": attentions.self_attention(13, 8, 3, 2, mask="bool"),
    "additive": attentions.cross_attention(13, 7, 8, 3, 2, mask="additive"),
    "cross": attentions.cross_attention(13, 7, 8, 3, 2),
    "heads-first": attentions.self_attention(13, 8, 3, 2, layout="heads-first"),
    "group-norm-silu": operators.group_norms(64, 3, 2),
    "group-norm-silu-weights": operators.group_norms(64, 3, 2, weights=True),
    "channels-last": operators.group_norms(64, 3, 2, layout="channels-last"),
    "layer-norm": operators.layer_norms(5, 17, 2),
    "layer-norm-weights": operators.layer_norms(5, 17, 2, weights=True),
    "geglu": operators.gates(5, 7, 2),
    "sample-dot": operators.reductions(29, 31, 3)[0],
    "sample-square-norm": operators.reductions(29, 31, 3)[1],
    "trace-ratio": operators.reductions(29, 31, 3)[2],
    "to-sphere": operators.charts(29, 3)[0],
    "over-sqrt-metric": operators.charts(29, 3)[1],
}


@pytest.fixture(params=SMALL)
def operator(request):
    return SMALL[request.param]


@pytest.fixture
def small_case():
    """Return a function that makes a case of a small operator, which may be given by name."""

    def make(operator, order="forward", dtype="fp32"):
        return Case(operator=SMALL.get(operator, operator), dtype_name=dtype, order=order)

    return make
