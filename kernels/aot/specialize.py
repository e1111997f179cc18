"""The specializations of kernels that Triton's JIT would compile for calls, without a GPU.

The JIT itself says which they are: it is given the tensors that the operators launch their kernels
with, a driver that only names a GPU, and a hook that takes down what is to be compiled and refuses
the compilation. So divisibility by 16, strides and absent operands are as in use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from triton import knobs
from triton.backends.compiler import GPUTarget

from latentgeo.kernels.aot.calls import Call
from latentgeo.kernels.aot.launches import intercepted, kernels_on_meta, replaced
from latentgeo.kernels.aot.limits import WARP, Arch

TELLING = ("STAGE", "BEND", "SECOND")  # constants that a call's launches of a kernel differ in
OPTIONS = ("num_warps", "num_ctas", "num_stages", "enable_fp_fusion")


@dataclass(frozen=True, kw_only=True)
class Specialization:
    """One kernel with what it is compiled for. Everything in it can be sent to another process."""

    module: str
    kernel: str
    family: str
    case: str
    dtype: str
    head_dim: int | None
    signature: dict[str, str]  # type of each argument
    constants: dict[tuple[int, ...], Any]  # value of each argument that is one, by place
    attributes: dict[tuple[int, ...], Any]  # what is known of each argument, by place
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The kernel and its family."""
        return f"{self.family}.{self.kernel}"

    @property
    def named(self) -> dict[str, Any]:
        """The constants by name."""
        names = list(self.signature)
        return {names[place]: value for (place,), value in self.constants.items()}

    @property
    def layout(self) -> str:
        """How its operands lie in memory, or "" where the kernel is the same for all."""
        known = self.named
        if "QT" in known:
            return "tokens-first" if known["QT"] else "heads-first"
        if "LAST" in known:
            return "channels-last" if known["LAST"] else "channels-first"
        return ""

    @property
    def mask(self) -> str:
        """The mask that it is compiled for, or ""."""
        known = self.named
        masks = [("", "bool", "additive")[known.get("MASK", 0)]]
        masks += ["causal"] if known.get("CAUSAL") else []
        return " ".join(filter(None, masks))

    @property
    def elements(self) -> int | None:
        """The numbers that a program has, or of attention the scores of a pass of its loop."""
        known = self.named
        for names in (("BI", "BJ"), ("BLOCK",), ("CB", "KB")):
            if all(name in known for name in names):
                return math.prod(known[name] for name in names)
        return None

    @property
    def variant(self) -> str:
        """What tells it from others of the same kernel that one call makes, but for attention's."""
        if self.family == "attention":
            return ""
        words = [f"{name}={int(self.named[name])}" for name in TELLING if name in self.named]
        absent = [name for name, value in self.named.items() if value is None]
        return " ".join([*words, *(f"-{name}" for name in absent)])


def specializations(arch: Arch, calls: Iterable[Call]) -> list[Specialization]:
    """Return what calls on a GPU of this architecture would have compiled, each once."""
    found: dict[str, Specialization] = {}
    capability = "latentgeo.kernels.attention.triton:compute_capability"
    with ExitStack() as stack:
        stack.enter_context(kernels_on_meta())
        stack.enter_context(intercepted(_bind))
        stack.enter_context(replaced(capability, lambda x: arch.capability))
        stack.enter_context(replaced("triton.runtime.driver:driver._active", _Driver(arch)))
        stack.enter_context(knobs.runtime.scope())
        for call in calls:
            knobs.runtime.jit_cache_hook = _Hook(call, found)
            call.run()
    return list(found.values())


def target(arch: Arch) -> GPUTarget:
    """Return the architecture as Triton knows it."""
    return GPUTarget("cuda", arch.number, WARP)


def _bind(kernel: Any, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Have the JIT prepare the kernel for these arguments, not launch it."""
    kernel.run(*args, grid=grid, warmup=True, **kwargs)


class _Driver:
    """Stands for the driver of a GPU; there is one device for each compute capability."""

    def __init__(self, arch: Arch) -> None:
        self.arch = arch

    def get_current_target(self) -> GPUTarget:
        return target(self.arch)

    def get_current_device(self) -> int:
        return self.arch.number

    def get_current_stream(self, device: int) -> int:
        return 0


class _Hook:
    """Takes down what the JIT would compile for a call and has it not compiled."""

    def __init__(self, call: Call, found: dict[str, Specialization]) -> None:
        self.call, self.found = call, found

    def __call__(self, *, key: str, fn: Any, compile: dict[str, Any], **_: Any) -> bool:
        entry = Specialization(
            module=fn.module,
            kernel=fn.name,
            family=self.call.family,
            case=self.call.case,
            dtype=self.call.dtype,
            head_dim=self.call.head_dim,
            signature=compile["signature"],
            constants=compile["constants"],
            attributes=compile["configs"][0],
            options={name: compile[name] for name in OPTIONS},
        )
        self.found.setdefault(f"{fn.module}.{fn.name} {key}", entry)
        return True
