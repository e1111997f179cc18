"""Specializations are those of Triton's own JIT, for launches that calls make."""

import os

import pytest

from latentgeo.kernels.aot.calls import calls
from latentgeo.kernels.aot.limits import ARCHS
from latentgeo.kernels.attention.tiles import tile

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter specializes nothing"
)


def specialized(arch, family, dtype="bf16", head_dims=(80,)):
    from latentgeo.kernels.aot.specialize import specializations

    wanted = [call for call in calls([dtype], head_dims) if call.family == family]
    return specializations(ARCHS[arch], wanted)


@pytest.fixture(scope="module")
def attention():
    return specialized("sm_80", "attention")


def test_each_kernel_has_a_form_for_an_image_and_one_for_text(attention):
    assert [entry.case for entry in attention] == ["self"] * 6 + ["text"] * 6
    assert len({entry.kernel for entry in attention}) == 6


def test_arguments_are_known_as_in_use(attention):
    """Pointers and lengths are divisible by 16 but for 77 tokens; a batch of 4 is not of 1."""
    image, text = (
        next(entry for entry in attention if (entry.kernel, entry.case) == ("forward", case))
        for case in ("self", "text")
    )
    names = list(image.signature)
    divisible = {names[place] for (place,), known in image.attributes.items() if known}
    assert {"q_ptr", "k_ptr", "v_ptr", "o_ptr", "lse_ptr", "N", "M"} <= divisible
    assert "B" not in divisible and image.signature["B"] == "i32"
    assert image.signature["q_ptr"] == "*bf16" and image.signature["lse_ptr"] == "*fp32"
    assert image.named["mask_ptr"] is None and image.named["H"] == 8
    assert image.named["D"] == 80 and image.named["EVEN"] is True
    assert {names[place] for (place,), known in text.attributes.items() if known} == divisible - {
        "M"
    }
    assert text.named["EVEN"] is False and text.named["BLOCKS"] == 3


def test_a_constant_context_has_no_tangents(attention):
    absent = {
        entry.case: {name for name, value in entry.named.items() if value is None}
        for entry in attention
        if entry.kernel == "hvp_queries"
    }
    assert absent["text"] - absent["self"] == {"k_dot_ptr", "v_dot_ptr"}


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
def test_tiles_are_those_of_the_architecture(arch):
    for entry in specialized(arch, "attention", head_dims=(40, 128)):
        wanted = tile(entry.kernel, entry.head_dim, 2, ARCHS[arch].capability)
        got = (
            entry.named["BI"],
            entry.named["BJ"],
            *map(entry.options.get, ("num_warps", "num_stages")),
        )
        assert got == tuple(wanted)


def test_equal_forms_are_compiled_once_and_others_told_apart():
    """The layer norms of three widths share nothing; the gates have one form for each absence."""
    gates = specialized("sm_80", "gates")
    assert [entry.variant for entry in gates[:3]] == ["-a -b", "-b", ""]
    norms = specialized("sm_80", "norms")
    keys = [(entry.kernel, entry.case, entry.variant) for entry in norms]
    assert len(keys) == len(set(keys))
    reductions = [entry.kernel for entry in specialized("sm_80", "reductions")]
    assert reductions.count("dot_kernel") < 3  # of three operators on two shapes


def test_nothing_is_left_in_place_of_the_driver():
    from triton.runtime import driver

    before = driver._active
    specialized("sm_80", "gates")
    assert driver._active is before
    assert triton.knobs.runtime.jit_cache_hook is None
