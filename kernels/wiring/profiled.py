"""What profilers show of a launch: a name such as `attention.jvp d40 bf16`, its FLOP and bytes.

Proton   asks a kernel for `launch_metadata` while it profiles, and at no other time
Nsight   shows the symbol in the machine code, which has no dots and spaces: attention_jvp_d40_bf16
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from torch import Tensor

from latentgeo.kernels.wiring.costs import KERNELS, Cost, moved

SHORT: Final = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64"}
SUFFIX: Final = "_kernel"


def profiled(family: str, *values: Any) -> None:
    """Have those of the values that are a family's Triton kernels say so to profilers."""
    for kernel in values:
        if hasattr(kernel, "arg_names") and f".{family}." in kernel.fn.__module__:
            name = f"{family}.{kernel.fn.__name__}"
            kernel.launch_metadata = partial(launched, name)
            kernel._repr = partial(symbol, name)


def launched(name: str, grid: object, metadata: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name of a launch, its bytes and, where it has products, its FLOP, for Proton."""
    cost = KERNELS.get(name, Cost())
    first = next(value for value in given.values() if isinstance(value, Tensor))
    dtype = SHORT.get(str(first.dtype).removeprefix("torch."), str(first.dtype))
    flop = cost.flop(given)
    products = {f"flops{8 * first.element_size()}": flop} if flop else {}
    words = title(name, given.get("D"), dtype)
    return {"name": words, "bytes": moved(cost, given), **products}


def symbol(name: str, specialization: Any) -> str:
    """Return the name of a kernel's machine code, of what it is compiled for."""
    pointers = (kind for kind in specialization.signature.values() if str(kind).startswith("*"))
    dtype = next(pointers, "").lstrip("*")
    words = title(name, specialization.constants.get("D"), dtype)
    return words.replace(".", "_").replace(" ", "_")


def title(name: str, d: object, dtype: str) -> str:
    """Return `attention.jvp d40 bf16`, without d for what has none."""
    width = "" if d is None else f"d{d}"
    return " ".join(filter(None, [name.removesuffix(SUFFIX), width, dtype]))
