"""A specialization compiled, and what its binary says, without a GPU.

Cache   Triton's own, on disk, keyed by the source, the options and the compiler: the same kernel is
        compiled once, and again when anything that it depends on has changed
"""

from __future__ import annotations

import importlib
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton import knobs
from triton.compiler import ASTSource

from latentgeo.kernels.aot.dump import dump
from latentgeo.kernels.aot.limits import (
    ARCHS,
    WARP,
    collapsed,
    programs_per_multiprocessor,
    tensor_share,
)
from latentgeo.kernels.aot.machine_code import Code, code, usage
from latentgeo.kernels.aot.products import PASSES, asked
from latentgeo.kernels.aot.rows import Row
from latentgeo.kernels.aot.specialize import Specialization, target


def measure(arch: str, entry: Specialization, folder: Path | None = None) -> Row:
    """Compile for an architecture of ARCHS and return what came of it; `folder` has it dumped."""
    kernel = compiled(arch, entry)
    sass = _cuobjdump(kernel, "-sass")
    if folder is not None:
        dump(folder, arch, entry, kernel, sass)
    used, listed = usage(_cuobjdump(kernel, "-res-usage")), code(sass)
    warps, shared = entry.options["num_warps"], kernel.metadata.shared
    return Row(
        arch=arch,
        dtype=entry.dtype,
        family=entry.family,
        kernel=entry.kernel,
        head_dim=entry.head_dim,
        case=entry.case,
        variant=entry.variant,
        tile=_tile(entry),
        warps=warps,
        stages=entry.options["num_stages"],
        registers=used.registers,
        stack=used.stack,
        local=used.local,
        loads=listed.loads,
        stores=listed.stores,
        shared=shared,
        programs=programs_per_multiprocessor(ARCHS[arch], used.registers, warps, shared),
        tensor=listed.tensor,
        copies=listed.copies,
        mufu=listed.mufu,
        loop=listed.loop,
        collapsed=collapsed(used.registers, used.stack),
        layout=entry.layout,
        mask=entry.mask,
        instructions=listed.instructions,
        per_element=per_element(listed, warps, entry.elements),
        read_bits=listed.read_bits,
        write_bits=listed.write_bits,
        **_efficiency(arch, entry, listed, asked(kernel.asm["ttgir"])),
    )


def per_element(listed: Code, warps: int, elements: int | None) -> float | None:
    """Return the instructions of a thread for each of the numbers that its program has.

    Of a kernel with products it is of the main loop, per score; of others of the whole code, what
    they loop over counted once. None where a program's numbers are not known.
    """
    if elements is None:
        return None
    return (listed.loop or listed.instructions) * warps * WARP / elements


def compiled(arch: str, entry: Specialization) -> Any:
    """Return Triton's compiled kernel."""
    kernel = getattr(importlib.import_module(entry.module), entry.kernel)
    source = ASTSource(kernel, entry.signature, entry.constants, entry.attributes)
    return triton.compile(source, target=target(ARCHS[arch]), options=entry.options)


def _cuobjdump(kernel: Any, question: str) -> str:
    """Return what NVIDIA's tool, which Triton brings, says of the binary."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, question, file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _tile(entry: Specialization) -> tuple[int, int] | None:
    """Return rows and columns of a tile of scores."""
    known = entry.named
    return (known["BI"], known["BJ"]) if entry.head_dim else None


def _efficiency(
    arch: str, entry: Specialization, listed: Code, wanted: int
) -> dict[str, float | None]:
    """Return how often products are made, how many there are, and the static ceiling.

    The ceiling is of useful work: without the padding of d, what is made twice, and two of the
    three products that make one in float32.
    """
    found: dict[str, float | None] = {"replication": None, "products": None, "ceiling": None}
    if not wanted or listed.macs is None or not entry.head_dim:
        return found
    known, warps = entry.named, entry.options["num_warps"]
    width, passes = known["D1"] + known["D2"], PASSES[known["IP"]]
    made = listed.macs * warps
    replication = made / wanted
    found["replication"] = replication
    found["products"] = made / (known["BI"] * known["BJ"] * width * passes)
    if listed.loop and ARCHS[arch].tensor_bytes:
        bytes_each = 4 if entry.dtype == "fp32" else 2
        share = tensor_share(
            ARCHS[arch], listed.loop_macs, bytes_each, listed.loop, listed.loop_mufu
        )
        found["ceiling"] = share * known["D"] / (width * passes * replication)
    return found
