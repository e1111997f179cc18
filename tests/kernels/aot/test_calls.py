"""The calls launch every kernel there is."""

import importlib

import pytest

from latentgeo.kernels.aot.calls import DTYPES, calls
from latentgeo.kernels.aot.launches import intercepted, kernels_on_meta
from latentgeo.kernels.aot.rows import DTYPES as NAMES
from latentgeo.kernels.aot.rows import FAMILIES

triton = pytest.importorskip("triton")
NORMS = ("norms.kernels", "norms.columns", "norms.merging")
MODULES = (*NORMS, "gates.triton", "reductions.triton", "chart.triton")
ATTENTION = {"forward", "jvp", "vjp_queries", "vjp_keys", "hvp_queries", "hvp_keys"}


def launched(dtype):
    """Return the names of the kernels, by family."""
    seen = {family: set() for family in FAMILIES}
    for call in calls([dtype], (40,)):
        launches = []
        with kernels_on_meta(), intercepted(lambda *launch, to=launches: to.append(launch)):
            call.run()
        seen[call.family] |= {kernel.__name__ for kernel, *_ in launches}
    return seen


@pytest.mark.parametrize("dtype", NAMES)
def test_every_kernel_is_launched(dtype):
    """What ends in _kernel is one; the rest of the decorated functions are parts of kernels."""
    modules = [importlib.import_module(f"latentgeo.kernels.{name}") for name in MODULES]
    there = {name for module in modules for name in vars(module) if name.endswith("_kernel")}
    seen = launched(dtype)
    assert seen.pop("attention") == ATTENTION
    assert set.union(*seen.values()) == there and all(seen.values())


def test_float32_attention_is_called_where_it_has_tiles():
    dims = [call.head_dim for call in calls(["fp32"], (40, 64, 96, 128)) if call.head_dim]
    assert dims == [40, 40, 64, 96]
    dims = [call.head_dim for call in calls(["bf16"], (40, 64, 96, 128)) if call.head_dim]
    assert dims == [40, 40, 64, 96, 128]


def test_dtypes_have_the_names_of_requests():
    assert tuple(DTYPES) == NAMES
