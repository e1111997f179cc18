"""Who takes part in which case."""

import importlib.util

import pytest
import torch

from latentgeo.kernels.bench.attentions import cross_attention, self_attention
from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.check import draw, largest_error, references
from latentgeo.kernels.bench.orders import ORDERS
from latentgeo.kernels.bench.peers import contenders

FUSED = ["sdpa-flash", "sdpa-cudnn", "sdpa-efficient", "flex-attention"]


def names(operator, order, dtype="bf16"):
    return list(contenders(Case(operator=operator, dtype_name=dtype, order=order)))


@pytest.fixture
def jvp_flash(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.parametrize("order", ORDERS)
def test_peers_of_attention_are_those_that_have_the_order(order, jvp_flash):
    wanted = ["latentgeo", "sdpa-math", "eager"]
    wanted += FUSED if order in ("forward", "forward-backward") else []
    wanted += ["jvp-flash-attention"] if order == "forward-jvp" else []
    assert names(self_attention(64, 32, 3, 1), order) == wanted


@pytest.mark.parametrize(
    "operator",
    [
        self_attention(64, 40, 3, 1),  # widths are powers of two
        self_attention(40, 64, 3, 1),  # rows multiples of 32
        cross_attention(64, 32, 64, 3, 1),  # as many rows as columns
    ],
)
def test_the_jvp_package_is_not_asked_for_what_it_refuses(operator, jvp_flash):
    assert names(operator, "forward-jvp") == ["latentgeo", "sdpa-math", "eager"]


def test_the_jvp_package_may_be_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert names(self_attention(64, 64, 3, 1), "forward-jvp") == ["latentgeo", "sdpa-math", "eager"]


def test_flash_attention_and_cudnns_are_for_16_bits():
    assert names(self_attention(64, 64, 3, 1), "forward", "fp32")[3:] == FUSED[2:]


def test_flash_attention_takes_no_mask(jvp_flash):
    masked = self_attention(64, 64, 3, 1, mask="bool")
    assert names(masked, "forward")[3:] == FUSED[1:]
    assert names(masked, "forward-jvp") == ["latentgeo", "sdpa-math", "eager"]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("peer", ["eager", "flex-attention"])
@pytest.mark.parametrize("name", ["self", "causal", "bool", "additive", "cross", "heads-first"])
def test_peers_compute_what_ours_does(name, peer, small_case):
    case = small_case(name)
    data = draw(case, torch.device("cpu"))
    found = contenders(case)[peer]
    for _ in range(2):  # the second time with the blocks of the first
        error, _ = largest_error({"y": found(*data.operands)}, references(case, data))
        assert error < 1e-6


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_blocks_of_a_mask_are_found_anew_for_another(small_case):
    case = small_case("bool")
    flex = contenders(case)["flex-attention"]
    for seed in (0, 1):
        data = draw(case, torch.device("cpu"), seed)
        error, _ = largest_error({"y": flex(*data.operands)}, references(case, data))
        assert error < 1e-6


def test_everything_else_is_beside_eager_pytorch(small_case):
    case = small_case("geglu", "reverse-reverse")
    found = contenders(case)
    assert list(found) == ["latentgeo", "eager"]
    x = torch.randn(case.operator.shapes[0], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found["latentgeo"](x), found["eager"](x))
