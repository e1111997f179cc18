"""The operators that are timed: their shapes, and what attends to what."""

import pytest
import torch

from latentgeo.kernels.bench.attentions import cross_attention, self_attention
from latentgeo.kernels.bench.operators import Heads, group_norms


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_ours_and_pytorchs_take_the_same_operands_to_the_same_result(operator, dtype):
    generator = torch.Generator().manual_seed(0)
    point = [torch.randn(s, generator=generator).to(dtype) for s in operator.shapes]
    if operator.mask == "bool":
        point[-1] = point[-1] > -1
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


def test_what_lies_tokens_or_channels_first_has_the_same_shape():
    x = torch.arange(2 * 3 * 5 * 7.0).reshape(2, 3, 5, 7)
    cases = {
        self_attention(5, 7, 3, 2): (0, 2, 1, 3),
        self_attention(5, 7, 3, 2, layout="heads-first"): (0, 1, 2, 3),
        group_norms(32, 5, 2): (0, 1, 2, 3),
        group_norms(32, 5, 2, layout="channels-last"): (0, 2, 3, 1),
    }
    for operator, order in cases.items():
        laid = operator.laid(x)
        assert torch.equal(laid, x) and laid.permute(order).is_contiguous()


def test_a_layout_and_a_mask_are_in_the_name():
    assert self_attention(5, 7, 3, 2).name == "attention-5x5-d7-h3-b2"
    given = cross_attention(5, 11, 7, 3, 2, mask="bool", layout="heads-first")
    assert given.name == "attention-5x11-d7-h3-b2-bool-heads-first"
    assert given.shapes[-1] == (1, 1, 5, 11) and given.trained == 3
    assert group_norms(32, 5, 2, layout="channels-last").name.endswith("-b2-channels-last")
