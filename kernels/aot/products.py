"""The matrix products that a program asks for, from Triton's own intermediate code.

A dot of an (m, k) with a (k, n) block is m n k multiply-adds. Shared among the program's warps, it
is as many for each as the tensor cores must make at least: what their instructions make beyond that
(`machine_code.py`) is the same numbers computed by more than one warp, where a tile has fewer rows
and columns than the layout of the warps. In float32 a product is three dots (`tf32x3`), and counts
as three.
"""

from __future__ import annotations

import re

DOT = re.compile(
    r"(?:tt\.dot|ttng\.warp_group_dot) .*? : "
    r"!?[\w.]+<(\d+)x(\d+)x\w+,.* \* !?[\w.]+<(\d+)x(\d+)x\w+,.* -> tensor<(\d+)x(\d+)x"
)
PASSES = {"ieee": 1, "tf32": 1, "tf32x3": 3}  # dots of a product, by its precision


def asked(ttgir: str) -> int:
    """Return the multiply-adds of all dots, each counted once."""
    total = 0
    for shape in DOT.findall(ttgir):
        m, k, again, n, *result = map(int, shape)
        assert again == k and result == [m, n], f"a dot of {shape}"
        total += m * n * k
    return total
