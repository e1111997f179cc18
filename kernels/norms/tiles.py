# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: tiles of CB channels by KB positions, and sums over the groups that they are part of.

A program has one tile of a span of channels of a sample: of a group, or, MIXED, of all channels. In
channels-last memory a group is a few numbers wide and begins anywhere, so where it is cut in tiles
these are MIXED, sums are filed per channel, and `merging.py` makes means of them by group.

Notation   `one`, the group's place among its probe's, a scalar, or (CB, 1) if MIXED; `first`, its
           probe's first group among all; `spot`, where a program files its sums; `span`, how many
           channels it has one of `abreast` tiles of
"""

from __future__ import annotations

import triton
import triton.language as tl

from latentgeo.kernels.wiring.tiles import APPLY, SUMS


@triton.jit
def load(pointer, at, inside, CT: tl.constexpr, FULL: tl.constexpr):
    """Return the numbers at these offsets in CT, zero outside; with FULL nothing is outside."""
    if FULL:
        return tl.load(pointer + at).to(CT)
    else:
        return tl.load(pointer + at, mask=inside, other=0).to(CT)


@triton.jit
def place(
    spans, span, C, S, abreast, LAST: tl.constexpr, UNIT: tl.constexpr, ALONE: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr,
):  # fmt: skip
    """Return a tile's offsets in its probe's (B, C, S), what is inside, channels, which exist.

    Channels of a span begin at a multiple of UNIT. With ALONE there is one position.
    """
    row, tile = tl.program_id(0), tl.program_id(1)
    sample, split = row // spans, tile // abreast
    near = (tile - split * abreast) * CB + tl.arange(0, CB)[:, None]
    channel = tl.multiple_of((row - sample * spans) * span, UNIT) + near
    if ALONE:
        position = tl.zeros((1, KB), tl.int32)
    else:
        position = split * KB + tl.arange(0, KB)[None, :]
    if LAST:
        at = (sample.to(tl.int64) * S + position) * C + channel
    else:
        at = (row.to(tl.int64) * span + near) * S + position
    exists = near < span
    return at, exists & (position < S), channel, exists


@triton.jit
def places(channel, exists, groups, C, n, rows, abreast, tiles, MIXED: tl.constexpr):
    """Return `first`, `one`, `spot` and what goes with them."""
    probe, row, tile = tl.program_id(2).to(tl.int64), tl.program_id(0), tl.program_id(1)
    first = probe * rows
    if MIXED:
        one = row * groups + ((channel + 0.5) * (groups / C)).to(tl.int32)
        spot = (probe * tl.num_programs(0) + row) * (tiles // abreast) + tile // abreast
    else:
        one = row
        spot = (first + one) * tiles + tile
    return first, one, spot, channel, exists, C, n, tiles


@triton.jit
def per_group(pointer, at, exists, MIXED: tl.constexpr, FULL: tl.constexpr):
    """Return one number of the group, or of each channel's."""
    if MIXED and not FULL:
        return tl.where(exists, tl.load(pointer + at, mask=exists), 0)
    else:
        return tl.load(pointer + at)


@triton.jit
def mean(
    value, partial, here, k, K: tl.constexpr, STAGE: tl.constexpr,
    MIXED: tl.constexpr, FULL: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """Return the k-th mean over a group: of this tile's `value`, or in APPLY of all as filed.

    SUMS files sums, and what it returns is none of a group.
    """
    first, one, spot, channel, exists, C, n, tiles = here
    if STAGE == APPLY:
        if MIXED:
            result = per_group(partial + first * K, one * K + k, exists, MIXED, FULL)
        else:
            i = tl.arange(0, TILES)
            filed = tl.load(partial + ((first + one) * tiles + i) * K + k, mask=i < tiles)
            result = tl.sum(tl.where(i < tiles, filed, 0)) / n
    elif MIXED:
        result = tl.sum(value, axis=1)[:, None]
        tl.store(partial + spot * K * C + (k * C + channel), result, mask=exists)
    else:
        result = tl.sum(value)
        if STAGE == SUMS:
            tl.store(partial + spot * K + k, result)
        result = result / n
    return result
