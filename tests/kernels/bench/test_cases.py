"""The list of cases, and how a pattern chooses from it."""

import pytest

from latentgeo.kernels.bench.bars import BARS
from latentgeo.kernels.bench.cases import CASES, DTYPES, SHAPES, Asked, chosen
from latentgeo.kernels.bench.orders import ORDERS

NAMES = [case.name for case in CASES]
WHOLE = "attention-4096x4096-d40-h8-b1-bf16-forward"


def test_every_case_has_a_name_of_its_own_that_profilers_take():
    """Nsight Compute's filters give a meaning to / @ [ ] * + and the comma."""
    assert len(set(NAMES)) == len(NAMES)
    assert not set("".join(NAMES)) & set("/@[]*+,. ")


def test_every_case_says_its_order_dtype_and_work():
    for case in CASES:
        assert case.order in ORDERS and case.dtype is DTYPES[case.dtype_name]
        assert case.name.endswith(f"-{case.dtype_name}-{case.order}")
        assert case.work.bytes > 0 and (case.work.flop > 0) == (case.operator.attention is not None)


def test_the_cases_that_bars_need_come_first():
    needed = {bar.case for bar in BARS}
    assert set(NAMES[: len(needed)]) == needed


@pytest.mark.parametrize("size", ["4096x4096-d40", "1024x1024-d80", "256x256-d160"])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_stable_diffusions_layers_are_there_in_every_order(size, dtype):
    rows, width = size.split("x")[0], size.split("-")[1]
    for shape in (size, f"{rows}x77-{width}"):
        for order in set(ORDERS) - {"double-backward"}:
            assert f"attention-{shape}-h8-b1-{dtype}-{order}" in NAMES
            assert f"attention-{shape}-h8-b4-bf16-{order}" in NAMES


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        ((), lambda name: True),
        ((WHOLE,), lambda name: name == WHOLE),  # not those that begin so
        (("d160",), lambda name: "d160" in name),
        (("*-fp16-jvp-backward",), lambda name: name.endswith("-fp16-jvp-backward")),
        (("geglu", WHOLE), lambda name: name == WHOLE or "geglu" in name),
    ],
)
def test_patterns_are_names_or_parts_or_globs(patterns, wanted):
    found = [case.name for case in chosen(patterns)]
    assert found and found == [name for name in NAMES if wanted(name)]


@pytest.mark.parametrize("pattern", ["d41", "jvp-*", "Attention"])
def test_a_pattern_that_chooses_nothing_is_refused_by_name(pattern):
    with pytest.raises(ValueError, match="no case matches") as error:
        chosen(("geglu", pattern))
    assert repr(pattern) in str(error.value)


@pytest.mark.parametrize("mask", ["bool", "additive"])
@pytest.mark.parametrize("size", ["4096x4096-d40", "1024x77-d80", "256x256-d160"])
def test_masks_are_there_in_every_order(mask, size):
    for order in set(ORDERS) - {"double-backward"}:
        assert f"attention-{size}-h8-b1-{mask}-bf16-{order}" in NAMES


def test_float32_is_there_as_far_as_it_has_kernels_and_other_layouts_are():
    widths = {case.operator.attention.width for case in CASES
              if case.operator.attention and case.dtype_name == "fp32"}  # fmt: skip
    assert widths == {40, 64, 80}
    assert "attention-4096x4096-d40-h8-b1-heads-first-bf16-forward" in NAMES
    assert "group-norm-silu-320x64x64-b1-channels-last-bf16-reverse-reverse" in NAMES


SIZES = {
    "attention": (2, 3, 13, 7, 8),
    "group-norm-silu": (2, 64, 3),
    "layer-norm": (2, 5, 17),
    "geglu": (2, 5, 17),
}


@pytest.mark.parametrize("op", SHAPES)
def test_any_case_can_be_asked_for(op):
    shape = SIZES.get(op, (3, 29))
    case = Asked(op=op, shape=shape, order="reverse-reverse", dtype="fp16").case
    assert case.name.startswith(op) and case.name.endswith("-fp16-reverse-reverse")
    assert case.operator.shapes[0][0] == shape[0] and case.work.bytes > 0


def test_asked_attention_is_of_its_size_mask_and_layout():
    def name(**changes):
        given = {"op": "attention", "shape": (1, 8, 4096, 77, 40), "dtype": "fp32"}
        return Asked(**(given | {"order": "forward-jvp"} | changes)).case

    assert name().name == "attention-4096x77-d40-h8-b1-fp32-forward-jvp"
    assert name().operator.moved == 1 and name(shape=(1, 8, 77, 77, 40)).operator.moved == 3
    found = name(mask="bool", layout="heads-first")
    assert found.name == "attention-4096x77-d40-h8-b1-bool-heads-first-fp32-forward-jvp"
    assert name(mask="causal").operator.attention.causal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (1, 8, 77, 40)}, "shape: got 1,8,77,40 for attention, wanted B,H,N,M,d"),
        ({"shape": (1, 8, 0, 77, 40)}, "each at least 1"),
        ({"op": "group-norm-silu", "shape": (1, 33, 8)}, "channels that are a multiple of 32"),
        ({"layout": "channels-last"}, "layout: got channels-last .* tokens-first or heads-first"),
        ({"op": "geglu", "shape": (1, 2, 3), "mask": "bool"}, "masked: got bool for geglu"),
    ],
)
def test_a_case_that_cannot_be_is_refused(changes, message):
    given = {"op": "attention", "shape": (1, 8, 13, 7, 40), "order": "forward", "dtype": "bf16"}
    with pytest.raises(ValueError, match=message):
        Asked(**(given | changes))
