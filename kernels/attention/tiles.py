"""How the attention kernels cut a problem: the blocks of a row and the tiles of scores.

Notation   a tile has BI rows of q and BJ rows of k; W = D1 + D2 ≥ d is the width of their blocks
Source     chosen by resource reports for sm_80, and sm_90 (`HOPPER`), compiled without a GPU by
           Triton 3.9 (`latentgeo bench-aot`): in 16 bits no register spilled but for 2 instructions
           in vjp_keys at d = 72 for sm_80, no tensor-core instruction replicated, no more shared
           memory than consumer GPUs have, but for `LARGE`. In float32 at W = 96 hvp_queries spills
           30 instructions, and it and hvp_keys make products 1.7 times. Triton 3.6 spills up to 9
           in *_keys at W of 64 to 96. No running time has been measured
"""

from __future__ import annotations

from typing import Final, NamedTuple

LEAST: Final = 16  # rows or columns of a block that a dot can take
SHORT: Final = 128  # columns, up to which the loop over them has a constant length


class Tile(NamedTuple):
    """A tile and how it is run."""

    rows: int  # BI
    columns: int  # BJ
    warps: int = 4
    stages: int = 2


Table = dict[str, dict[int, Tile]]  # kernel -> largest W -> tile
HALF: Final[Table] = {  # float16 and bfloat16
    "forward": {96: Tile(64, 32), 128: Tile(128, 32, 8), 256: Tile(16, 32)},
    "jvp": {64: Tile(64, 32), 96: Tile(128, 32, 8), 128: Tile(128, 16, 8), 256: Tile(16, 32)},
    "vjp_queries": {96: Tile(64, 32), 128: Tile(128, 32, 8), 256: Tile(16, 32)},
    "vjp_keys": {
        64: Tile(32, 64),
        80: Tile(32, 128, 8),
        96: Tile(32, 64),
        128: Tile(32, 128, 8),
        256: Tile(32, 16),
    },
    "hvp_queries": {
        80: Tile(64, 32),
        96: Tile(128, 16, 8),
        128: Tile(64, 32, 4, 1),
        256: Tile(16, 32),
    },
    "hvp_keys": {48: Tile(32, 128, 8), 96: Tile(16, 64), 128: Tile(32, 32), 256: Tile(32, 16)},
}
SINGLE: Final[Table] = {  # float32, whose products are three of tensor cores
    "forward": {64: Tile(64, 32), 96: Tile(16, 32)},
    "jvp": {64: Tile(64, 16), 96: Tile(16, 32)},
    "vjp_queries": {64: Tile(64, 16), 96: Tile(16, 32)},
    "vjp_keys": {96: Tile(32, 16)},
    "hvp_queries": {64: Tile(16, 32), 96: Tile(16, 16)},
    "hvp_keys": {64: Tile(32, 16), 96: Tile(16, 16)},
}
LARGE: Final[Table] = {  # takes 112 kB of shared memory for 128
    "hvp_queries": {80: Tile(64, 32), 128: Tile(128, 16, 8)},
}
HOPPER: Final[Table] = {
    "forward": {96: Tile(64, 64, 4, 3)},
    "jvp": {64: Tile(64, 64)},
    "vjp_queries": {96: Tile(64, 64)},
    "hvp_queries": {64: Tile(64, 64)},
    "hvp_keys": {
        80: Tile(32, 128, 8),
        96: Tile(16, 64),
        128: Tile(32, 32),
        160: Tile(64, 16),  # that for sm_80 spills 2 instructions here
    },
}
BEFORE: Final[dict[tuple[int, int], tuple[Table, ...]]] = {  # what goes before HALF, per capability
    (8, 0): (LARGE,),
    (9, 0): (HOPPER, LARGE),
    (10, 0): (LARGE,),
}


def widths(d: int, bytes_each: int) -> tuple[int, int]:
    """Return D1 and D2, powers of two with D1 + D2 ≥ d, where D2 may be 0: 40 is 32 + 16.

    In float32 D2 is no less than 32 (40 is 64, 80 is 64 + 32): four warps would share 16 columns by
    computing them twice, and registers spill. So it is beside 128 columns (136 is 128 + 32), whose
    tiles have 16 rows: four warps would compute the 16 columns four times.
    """
    whole = max(LEAST, _power(d))
    first = whole // 2
    least = 2 * LEAST if bytes_each == 4 or first == 128 else LEAST
    second = max(least, _power(d - first))
    return (whole, 0) if first + second >= whole else (first, second)


def widest(bytes_each: int) -> int:
    """Return the largest d that there are tiles for, in a type of so many bytes."""
    return max((HALF if bytes_each == 2 else SINGLE)["forward"])


def tile(kernel: str, d: int, bytes_each: int, capability: tuple[int, int] | None) -> Tile:
    """Return the tile of a kernel for heads of d numbers, on a GPU of a compute capability.

    Beyond its last entry, where only the interpreter goes, a table has that entry.
    """
    width = sum(widths(d, bytes_each))
    last = HALF if bytes_each == 2 else SINGLE
    before = BEFORE.get(capability, ()) if capability and bytes_each == 2 else ()
    for table in (*before, last):
        for limit, entry in table.get(kernel, {}).items():
            if width <= limit:
                return entry
    return entry


def _power(n: int) -> int:
    """Return the least power of two that is no less than n."""
    return 1 << (n - 1).bit_length()
