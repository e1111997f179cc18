"""What a launch tells profilers, on meta tensors, and the symbol of machine code."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton")
B, H, N, M, D = 2, 3, 64, 77, 40


def launches(function):
    """Return what every kernel that a function launches says of itself."""
    from latentgeo.kernels.aot.launches import intercepted, kernels_on_meta

    found = []

    def on_launch(kernel, grid, args, kwargs):
        given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
        found.append(kernel.launch_metadata(grid, None, given))

    with kernels_on_meta(), intercepted(on_launch):
        function()
    return found


def empty(*shape, dtype=torch.bfloat16):
    return torch.empty(shape, dtype=dtype, device="meta")


def test_attention_says_its_name_flop_and_bytes():
    from latentgeo.kernels.attention.op import attention

    (said,) = launches(lambda: attention(empty(B, H, N, D), *[empty(B, H, M, D)] * 2))
    row, column, logarithms = 2 * B * H * N * D, 2 * B * H * M * D, 4 * B * H * N
    assert said == {
        "name": "attention.forward d40 bf16",
        "bytes": 2 * row + 2 * column + logarithms,
        "flops16": 2 * 2 * B * H * N * M * D,
    }


def test_every_family_says_its_names():
    from latentgeo.kernels.chart.op import to_sphere
    from latentgeo.kernels.gates.op import geglu, silu
    from latentgeo.kernels.norms.op import group_norm
    from latentgeo.kernels.reductions.op import sample_dot

    x = empty(B, 64, 8, 8, dtype=torch.float16)
    said = launches(
        lambda: (
            silu(x),
            geglu(x),
            group_norm(x, 32),
            sample_dot(x, x),
            to_sphere(x.flatten(1), 2.0),
        )
    )
    names = {entry["name"] for entry in said}
    assert {"gates.silu fp16", "gates.geglu fp16", "norms.forward fp16"} <= names
    assert {"reductions.dot fp16", "chart.sphere fp16"} <= names
    assert all(entry["bytes"] > 0 and "flops16" not in entry for entry in said)


def test_a_symbol_has_what_a_kernel_is_compiled_for():
    from latentgeo.kernels.wiring.profiled import symbol

    signature = {"q_ptr": "*fp16", "B": "i32", "lse_ptr": "*fp32"}
    given = SimpleNamespace(signature=signature, constants={"D": 80})
    assert symbol("attention.jvp", given) == "attention_jvp_d80_fp16"
    assert symbol("gates.silu_kernel", SimpleNamespace(signature=signature, constants={})) == (
        "gates_silu_fp16"
    )
