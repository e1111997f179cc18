"""What the compiler made of a kernel, in files; and what is known of a kernel by its constants."""

import os

import pytest

from latentgeo.kernels.aot.rows import Request

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"
)


def entries(**request):
    from latentgeo.kernels.aot.jobs import jobs

    return [entry for _, entry in jobs(Request(arch=("sm_86",), dtype=("fp16",), **request))]


def test_a_kernel_is_dumped_step_by_step_under_its_name(tmp_path):
    from latentgeo.kernels.aot.dump import STEPS
    from latentgeo.kernels.aot.measure import measure

    entry = entries(kernels=("gates.silu",))[0]
    row = measure("sm_86", entry, tmp_path / "new")
    name = "gates.silu_kernel-fp16-silu-a-b-sm_86"
    files = {path.suffix[1:]: path for path in (tmp_path / "new").iterdir()}
    assert files.keys() == {*STEPS, "sass"} and {path.stem for path in files.values()} == {name}
    assert "tt.func public @" in files["ttir"].read_text()
    assert ".target sm_86" in files["ptx"].read_text() and "EXIT" in files["sass"].read_text()
    assert row.instructions > 0 and row.read_bits == (128, 128) == row.write_bits
    assert row.per_element == pytest.approx(row.instructions / 16)  # 2048 numbers of 128 threads
    assert (row.loop, row.layout, row.mask) == (0, "", "")


def test_names_tell_layouts_and_cases_apart():
    from latentgeo.kernels.aot.dump import stem

    found = entries(kernels=("norms", "attention.jvp"), head_dims=(40,), masks=("bool",))
    stems = [stem("sm_86", entry) for entry in found]
    assert len(set(stems)) == len(stems)
    assert "attention.jvp-d40-fp16-tokens-first-self-bool-sm_86" in stems
    assert any("channels-last" in one for one in stems)
    assert not set("".join(stems)) & set(" /,²×")


@pytest.mark.parametrize("mask", ["bool", "additive", "causal"])
def test_attention_is_compiled_for_the_mask_that_is_asked_for(mask):
    found = entries(kernels=("attention",), head_dims=(40,), masks=("none", mask))
    assert {(entry.case, entry.mask) for entry in found} == {
        *{("self", ""), ("text", ""), (f"self {mask}", mask), (f"text {mask}", mask)}
    }
    (jvp,) = [one for one in found if one.kernel == "jvp" and one.case == f"self {mask}"]
    assert jvp.elements == jvp.named["BI"] * jvp.named["BJ"] and jvp.layout == "tokens-first"
