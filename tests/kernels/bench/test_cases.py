"""The list of cases, and how a pattern chooses from it."""

import pytest

from latentgeo.kernels.bench.bars import BARS
from latentgeo.kernels.bench.cases import CASES, DTYPES, chosen
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
