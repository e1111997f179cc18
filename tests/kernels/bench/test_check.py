"""The correctness check: what is right passes in every order, what is a little wrong does not."""

import math

import pytest
import torch

from latentgeo.kernels.bench.check import BARS, Reference, draw, largest_error, references
from latentgeo.kernels.bench.orders import ORDERS

CPU = torch.device("cpu")


def error_of(case, f):
    data = draw(case, CPU)
    return largest_error(ORDERS[case.order](f, data)(), references(case, data))


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["self", "causal", "bool", "additive", "cross", "geglu"])
def test_ours_is_right_in_every_order(small_case, name, order, dtype):
    case = small_case(name, order, dtype)
    error, _ = error_of(case, case.operator.ours)
    assert error <= BARS[case.dtype]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_every_operator_is_right_when_differentiated_twice(operator, small_case, dtype):
    for order in ("forward", "reverse-reverse"):
        case = small_case(operator, order, dtype)
        for f in (case.operator.ours, case.operator.plain):
            assert error_of(case, f)[0] <= BARS[case.dtype]


class HalfHvp(torch.autograd.Function):
    """x³, of which the second derivative is half of what it should be."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return u * 3 * (x**2 / 2 + x.detach() ** 2 / 2)


def test_a_wrong_second_derivative_is_found_although_the_first_is_right(small_case):
    case = small_case("sample-square-norm", "reverse-reverse")
    data = draw(case, CPU)
    right = ORDERS[case.order](lambda x: (x**3).sum(1), data)()
    wrong = ORDERS[case.order](lambda x: HalfHvp.apply(x).sum(1), data)()
    for name in ("y", "d0"):
        torch.testing.assert_close(right[name], wrong[name])
    error, which = largest_error(wrong, [Reference(part=lambda x: x, results=right)])
    assert which == "g0" and error == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_one_per_cent_is_too_much(small_case, dtype):
    case = small_case("self", "forward-backward", dtype)
    error, which = error_of(case, lambda q, k, v: case.operator.ours(q, k, v * 1.01))
    assert error > BARS[case.dtype] and which in ("y", "d0", "d1", "d2")


@pytest.mark.parametrize("head", [(0, 0), (1, 2)])
def test_one_number_that_is_none_is_too_much(small_case, head):
    """In either of the heads that are looked at."""
    case = small_case("self")

    def broken(q, k, v):
        y = case.operator.ours(q, k, v).clone()
        y[head][5, 3] = math.nan
        return y

    error, which = error_of(case, broken)
    assert math.isnan(error) and not error <= BARS[case.dtype] and which == "y"


def test_a_result_that_should_be_zero_has_to_be(small_case):
    case = small_case("layer-norm-weights", "reverse-reverse")  # β is not in the first derivative
    data = draw(case, CPU)
    results = ORDERS[case.order](case.operator.ours, data)()
    wanted = references(case, data)
    assert not wanted[0].results["g2"].any() and largest_error(results, wanted)[0] < 1e-5
    error, which = largest_error({**results, "g2": results["g2"] + 1}, wanted)
    assert error == math.inf and which == "g2"


def test_missing_results_and_shapes_that_differ_are_errors(small_case):
    case = small_case("self", "forward-jvp")
    data = draw(case, CPU)
    wanted, results = references(case, data), ORDERS[case.order](case.operator.ours, data)()
    with pytest.raises(ValueError, match="y_dot"):
        largest_error({"y": results["y"]}, wanted)
    with pytest.raises(ValueError, match=r"y: got .*3\), wanted"):
        largest_error({**results, "y": results["y"][..., :3]}, wanted)


def test_numbers_are_the_same_every_time_and_none_is_zero(small_case):
    case = small_case("cross", "jvp-backward", "bf16")
    data, again = draw(case, CPU), draw(case, CPU)
    assert torch.equal(data.operands[1], again.operands[1]) and data.operands[1].all()
    assert len(data.tangents) == 1 and data.trained == 3
    assert data.cotangent.dtype == torch.bfloat16
    assert draw(small_case("sample-dot", dtype="bf16"), CPU).cotangent.dtype == torch.float32


def test_operands_lie_as_they_do_in_a_model_and_a_mask_leaves_something_in_every_row(small_case):
    data = draw(small_case("bool"), CPU)
    *operands, mask = data.operands
    for x in (*operands, data.cotangent, *data.tangents):
        assert x.transpose(1, 2).is_contiguous() and not x.is_contiguous()
    assert mask.dtype == torch.bool and mask.any(-1).all() and not mask.all()
    assert draw(small_case("additive", dtype="fp16"), CPU).operands[3].dtype == torch.float16
    assert draw(small_case("heads-first"), CPU).operands[0].is_contiguous()


@pytest.mark.parametrize("name", ["bool", "additive", "causal"])
def test_who_forgets_the_mask_is_wrong(small_case, name):
    case = small_case(name)
    error, _ = error_of(case, lambda q, k, v, *mask: small_case("self").operator.ours(q, k, v))
    assert error > 0.1
