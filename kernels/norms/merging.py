# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: what tiles have filed per channel, (P · B, splits, K, C), added up by group.

Traffic    what was filed, once; means and squares twice, the second time from the cache
"""

from __future__ import annotations

import triton
import triton.language as tl

from latentgeo.kernels.norms.tiles import load


@triton.jit
def filed(row, step, k, splits, C, width, K, groups, CB: tl.constexpr, KB: tl.constexpr):
    """Return the offsets of a group's numbers (CB, KB) of kind k, what is inside, the splits."""
    split = step * KB + tl.arange(0, KB)[None, :]
    near = tl.arange(0, CB)[:, None]
    at = ((row // groups).to(tl.int64) * splits + split) * K + k
    return at * C + row % groups * width + near, (near < width) & (split < splits), split


@triton.jit
def merged_kernel(
    partial, means, groups, C, splits, n,
    CB: tl.constexpr, KB: tl.constexpr, STEPS: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """Means (P · B · G, K)."""
    row, k, K = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    result = tl.zeros((CB, KB), CT)
    for step in range(STEPS):
        at, inside, _ = filed(row, step, k, splits, C, C // groups, K, groups, CB, KB)
        result += load(partial, at, inside, CT, False)
    tl.store(means + row.to(tl.int64) * K + k, tl.sum(result) / n)


@triton.jit
def moments_kernel(
    partial, stats, groups, C, S, splits, n, places,
    EPS: tl.constexpr, CB: tl.constexpr, KB: tl.constexpr, STEPS: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """(m, r) (P · B · G, 2) of means and squared distances from them, of `places` each."""
    row = tl.program_id(0)
    width = C // groups
    sums = tl.zeros((CB, KB), CT)
    for step in range(STEPS):
        at, inside, split = filed(row, step, 0, splits, C, width, 2, groups, CB, KB)
        sums += load(partial, at, inside, CT, False) * tl.minimum(S - split * places, places)
    m = tl.sum(sums) / n
    squares = tl.zeros((CB, KB), CT)
    for step in range(STEPS):
        at, inside, split = filed(row, step, 0, splits, C, width, 2, groups, CB, KB)
        off = load(partial, at, inside, CT, False) - m
        count = tl.minimum(S - split * places, places)
        added = load(partial, at + C, inside, CT, False) + off * off * count
        squares += tl.where(inside, added, 0)
    tl.store(stats + row.to(tl.int64) * 2, m)
    tl.store(stats + row.to(tl.int64) * 2 + 1, tl.rsqrt(tl.sum(squares) / n + EPS))
