"""What a kernel's machine code contains, from the text of NVIDIA's `cuobjdump`.

Spills   LDL and STL load and store a thread's local memory, where registers go that do not fit
Loop     the instructions from the target of a backward branch to the branch; the one that counts
         is the shortest of those with the most work for the tensor cores
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)([^;]*);", re.M)
USAGE = re.compile(r"\b(REG|STACK|LOCAL):(\d+)")
TARGET = re.compile(r"0x([0-9a-f]+)\s*$")
WARP_PRODUCTS = {"16816": 16 * 8 * 16, "1688": 16 * 8 * 8, "1684": 16 * 8 * 4}  # HMMA's shapes
WIDTH = re.compile(r"\.(?:[US]?(8|16)|(32|64|128))(?=\.|$)")  # bits of a load or store
GROUP_PRODUCT = re.compile(r"HGMMA\.(?:SP\.)?(\d+)x(\d+)x(\d+)")
GROUP = 4  # warps that make one HGMMA together


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What every thread is given."""

    registers: int
    stack: int  # bytes
    local: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Code:
    """Counts of instructions of the whole kernel, and of its main loop if it has one."""

    loads: int  # of spilled registers
    stores: int
    tensor: int  # instructions of the tensor cores
    macs: int | None  # multiply-adds of those per warp; None if the code does not say
    copies: int  # from global to shared memory, asynchronous
    mufu: int  # special functions
    loop: int  # instructions of the main loop; 0 without one
    loop_macs: int
    loop_mufu: int
    instructions: int  # of the whole kernel, but for what pads its end
    read_bits: tuple[int, int]  # least and most that a thread loads from global memory at a time
    write_bits: tuple[int, int]  # and stores to it; 0 without any


Instruction = tuple[int, str, str]  # address, name with its suffixes, operands


def usage(text: str) -> Usage:
    """Return what `cuobjdump -res-usage` says of the one kernel of a binary.

    Raises RuntimeError for another text.
    """
    found = {name: int(value) for name, value in USAGE.findall(text)}
    if found.keys() != {"REG", "STACK", "LOCAL"}:
        raise RuntimeError(f"cuobjdump -res-usage: got {text[:200]!r}, wanted REG, STACK and LOCAL")
    return Usage(registers=found["REG"], stack=found["STACK"], local=found["LOCAL"])


def code(text: str) -> Code:
    """Return the counts of what `cuobjdump -sass` lists.

    Raises RuntimeError for a text without instructions.
    """
    listed = [(int(at, 16), name, rest) for at, name, rest in INSTRUCTION.findall(text)]
    if not listed:
        raise RuntimeError(f"cuobjdump -sass: got {text[:200]!r}, wanted instructions")
    counts = _counts(listed)
    loop = main_loop(listed)
    return Code(
        loads=counts["LDL"],
        stores=counts["STL"],
        tensor=counts["HMMA"] + counts["HGMMA"] + counts["UTCHMMA"],
        macs=None if counts["UTCHMMA"] else sum(map(macs, listed)),
        copies=counts["LDGSTS"],
        mufu=counts["MUFU"],
        loop=len(loop),
        loop_macs=sum(map(macs, loop)),
        loop_mufu=_counts(loop)["MUFU"],
        instructions=len(listed) - counts["NOP"],
        read_bits=_bits(listed, "LDG", "LDGSTS"),
        write_bits=_bits(listed, "STG"),
    )


def _bits(listed: Iterable[Instruction], *names: str) -> tuple[int, int]:
    """Return the fewest and the most bits that one of these instructions moves for a thread."""
    moved = [bits(name) for _, name, _ in listed if name.split(".")[0] in names]
    return (min(moved), max(moved)) if moved else (0, 0)


def bits(name: str) -> int:
    """Return the bits of a load or store, by its suffixes; 32 is what it is without one."""
    found = WIDTH.search(name)
    return int(found[1] or found[2]) if found else 32


def macs(instruction: Instruction) -> int:
    """Return the multiply-adds that an instruction makes for each warp that takes part."""
    name = instruction[1]
    if name.startswith("HMMA."):
        return WARP_PRODUCTS[name.split(".")[1]]
    if shape := GROUP_PRODUCT.match(name):
        m, n, k = map(int, shape.groups())
        return m * n * k // GROUP
    return 0


def main_loop(listed: list[Instruction]) -> list[Instruction]:
    """Return the instructions of the loop that has the tensor cores' work, or none."""
    loops = [
        [entry for entry in listed if first <= entry[0] <= last]
        for first, last in _backward_branches(listed)
    ]
    working = [loop for loop in loops if sum(map(macs, loop))]
    return max(working, key=lambda loop: (sum(map(macs, loop)), -len(loop)), default=[])


def _backward_branches(listed: Iterable[Instruction]) -> Iterable[tuple[int, int]]:
    """Yield where loops begin and end; the branch to itself behind a kernel's end is none."""
    for address, name, rest in listed:
        target = TARGET.search(rest.rstrip())
        if name.startswith("BRA") and target and int(target[1], 16) < address:
            yield int(target[1], 16), address


def _counts(listed: Iterable[Instruction]) -> Counter[str]:
    return Counter(name.split(".")[0] for _, name, _ in listed)
