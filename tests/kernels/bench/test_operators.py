"""The operators that are timed: their shapes, and what attends to what."""

import pytest
import torch

from latentgeo.kernels.bench.operators import Heads


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_ours_and_pytorchs_take_the_same_operands_to_the_same_result(operator, dtype):
    generator = torch.Generator().manual_seed(0)
    point = [torch.randn(s, generator=generator).to(dtype) for s in operator.shapes]
    ours, plain = operator.ours(*point), operator.plain(*point)
    assert ours.shape == plain.shape == operator.result
    narrow = torch.float32 if operator.sums and dtype == torch.bfloat16 else dtype
    assert ours.dtype == plain.dtype == narrow
    tolerance = 1e-9 if dtype == torch.float64 else 0.05
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


def test_what_moves_is_trained_and_what_is_trained_is_an_operand(operator):
    assert 1 <= operator.moved <= operator.trained <= len(operator.shapes)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (7, 3), (3, 7)])
def test_scores_are_what_a_causal_mask_leaves(rows, columns):
    sizes = {"batch": 1, "heads": 1, "rows": rows, "columns": columns, "width": 8}
    mask = torch.ones(rows, columns).tril()
    assert Heads(**sizes, causal=True).scores == mask.sum()
    assert Heads(**sizes).scores == rows * columns
