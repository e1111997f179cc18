"""Who takes part in which case."""

import importlib.util

import pytest
import torch

from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.operators import cross_attention, self_attention
from latentgeo.kernels.bench.orders import ORDERS
from latentgeo.kernels.bench.peers import contenders


def names(operator, order, dtype="bf16"):
    return list(contenders(Case(operator=operator, dtype_name=dtype, order=order)))


@pytest.fixture
def jvp_flash(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.parametrize("order", ORDERS)
def test_peers_of_attention_are_those_that_have_the_order(order, jvp_flash):
    wanted = ["latentgeo", "sdpa-math"]
    wanted += ["sdpa-flash"] if order in ("forward", "forward-backward") else []
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
    assert names(operator, "forward-jvp") == ["latentgeo", "sdpa-math"]


def test_the_jvp_package_may_be_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert names(self_attention(64, 64, 3, 1), "forward-jvp") == ["latentgeo", "sdpa-math"]


def test_flash_attention_is_for_16_bits():
    assert "sdpa-flash" not in names(self_attention(64, 64, 3, 1), "forward", "fp32")


def test_everything_else_is_beside_eager_pytorch(small_case):
    case = small_case("geglu", "reverse-reverse")
    found = contenders(case)
    assert list(found) == ["latentgeo", "eager"]
    x = torch.randn(case.operator.shapes[0], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found["latentgeo"](x), found["eager"](x))
