"""The kernels compiled for an A100, which takes no GPU: what their machine code contains.

The interpreter accepts programs that the compiler does not, and knows neither registers nor the
number of matrix products that a program makes.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from latentgeo.kernels.attention_tiles import tile, widths

triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"
)
PRODUCTS = {  # N×M×d products, of all tangents and of q's alone; the whole of both orders is 29
    "forward": (2, 2),
    "jvp": (5, 3),
    "vjp_queries": (3, 3),
    "vjp_keys": (4, 4),
    "hvp_queries": (7, 4),
    "hvp_keys": (8, 6),
}
FLOAT32 = ("lse_ptr", "mu_ptr", "delta_ptr", "rho_ptr")
CONSTANT_CONTEXT = ("k_dot_ptr", "v_dot_ptr")


def compiled(name, d, absent=()):
    """Compile a kernel in bfloat16 for sm_80, specialized as a call with whole tiles would be."""
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from latentgeo.kernels import attention_kernels

    kernel, size = getattr(attention_kernels, name), tile(name, d, 2, (8, 0))
    d1, d2 = widths(d, 2)
    known = {"H": 8, "D": d, "D1": d1, "D2": d2, "QT": True, "KT": True, "SCALE": d**-0.5}
    known |= {"MASK": 0, "CAUSAL": False, "EVEN": True, "BLOCKS": 0, "CT": tl.float32, "UP": None}
    known |= {"BI": size.rows, "BJ": size.columns, "IP": "ieee", "mask_ptr": None}
    known |= dict.fromkeys(absent)
    signature, constants, multiples = {}, {}, {}
    for place, argument in enumerate(kernel.arg_names):
        if argument in known:
            signature[argument], constants[(place,)] = "constexpr", known[argument]
            continue
        pointer = "*fp32" if argument in FLOAT32 else "*bf16"
        signature[argument] = pointer if argument.endswith("_ptr") else "i32"
        multiples[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, multiples)
    options = {"num_warps": size.warps, "num_stages": size.stages, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options), size


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("d", [40, 80])
@pytest.mark.parametrize("name", PRODUCTS)
def test_no_product_is_made_twice_and_no_register_spills(name, d, tmp_path):
    """One mma is 16 × 8 × 16 multiplications in each warp."""
    kernel, size = compiled(name, d)
    width = sum(widths(d, 2))
    ideal = PRODUCTS[name][0] * size.rows * size.columns * width // (16 * 8 * 16 * size.warps)
    assert kernel.asm["ptx"].count("mma.sync") == ideal
    assert kernel.metadata.shared <= 99 * 1024  # what any GPU from compute capability 8.0 has
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(kernel.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    report = subprocess.run(
        [tool, "-res-usage", binary], capture_output=True, text=True, check=True
    )
    assert re.search(r"STACK:(\d+)", report.stdout)[1] == "0"


@pytest.mark.parametrize("name", ["jvp", "hvp_queries", "hvp_keys"])
def test_a_constant_context_costs_less(name):
    kernel, size = compiled(name, 40, CONSTANT_CONTEXT)
    ideal = PRODUCTS[name][1] * size.rows * size.columns * 48 // (16 * 8 * 16 * size.warps)
    assert kernel.asm["ptx"].count("mma.sync") == ideal
