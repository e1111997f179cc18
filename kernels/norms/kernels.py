# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: the norms' closed forms in x, one program per row, that is per group of a sample.

`reference.py` has the notation and the formulas, `columns.py` the sums for γ and β,
`launch.py` what calls both. A row of n = C / G · S numbers is read in the order in which it
lies in memory: channel by channel, or with LAST position by position (channels-last).

Traffic    a row in one tile: every operand once; in several tiles: twice, `hvp` with SiLU or a
           tangent of γ three times, the later ones from the cache while it lasts
Length     `hvp_kernel` is one, as its terms share what they load; cut in two it would read x twice
"""

from __future__ import annotations

import triton
import triton.language as tl

from latentgeo.kernels.wiring.tiles import APPLY, SUMS, load, total


@triton.jit
def place(row, tile, groups, C, S, n, LAST: tl.constexpr, BLOCK: tl.constexpr):
    """Return the offsets of a tile in its probe's (B, C, S), its channels, and what lies inside."""
    e = tile * BLOCK + tl.arange(0, BLOCK)
    width = C // groups
    first = (row % groups) * width
    if LAST:
        channel = first + e % width
        at = (row // groups * S + e // width) * C + channel
    else:
        channel = first + e // S
        at = row * n + e
    return at, channel, e < n


@triton.jit
def slopes(a, SILU: tl.constexpr):
    """Return φ'(a) and φ''(a), φ the identity or SiLU."""
    if SILU:
        s = tl.sigmoid(a)
        s1 = s * (1 + a * (1 - s))
        s2 = s * (1 - s) * (2 + a * (1 - 2 * s))
    else:
        s1 = tl.full(a.shape, 1, a.dtype)
        s2 = tl.full(a.shape, 0, a.dtype)
    return s1, s2


@triton.jit
def forward_kernel(
    x, weight, bias, y, stats, partial,
    x_stride, weight_stride, bias_stride, rows, groups, C, S, n, tiles,
    EPS: tl.constexpr, SILU: tl.constexpr, LAST: tl.constexpr, STAGE: tl.constexpr,
    BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """y = φ(γ x̂ + β); SUMS files each tile's mean and squared distances from it, to be merged."""
    pid, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, row = pid // rows, pid % rows
    at, channel, inside = place(row, tile, groups, C, S, n, LAST, BLOCK)
    values = load(x + probe * x_stride, at, inside, CT)
    if STAGE == APPLY:
        i = tl.arange(0, TILES)
        filed = partial + (pid * tiles + i) * 2
        count = tl.where(i < tiles, tl.minimum(n - i * BLOCK, BLOCK), 0).to(CT)
        means = tl.where(i < tiles, tl.load(filed, mask=i < tiles), 0)
        squares = tl.where(i < tiles, tl.load(filed + 1, mask=i < tiles), 0)
        m = tl.sum(count * means) / n
        m2 = tl.sum(squares + count * (means - m) * (means - m))
    else:
        m = tl.sum(values) / tl.minimum(n - tile * BLOCK, BLOCK)
        centred = tl.where(inside, values - m, 0)
        m2 = tl.sum(centred * centred)
    if STAGE == SUMS:
        tl.store(partial + (pid * tiles + tile) * 2, m)
        tl.store(partial + (pid * tiles + tile) * 2 + 1, m2)
    else:
        r = tl.rsqrt(m2 / n + EPS)
        gamma = load(weight + probe * weight_stride, channel, inside, CT)
        a = gamma * ((values - m) * r) + load(bias + probe * bias_stride, channel, inside, CT)
        if SILU:
            a = a * tl.sigmoid(a)
        tl.store(y + probe * rows * n + at, a, mask=inside)
        if tile == 0:
            tl.store(stats + pid * 2, m)
            tl.store(stats + pid * 2 + 1, r)


@triton.jit
def jvp_kernel(
    x, weight, bias, stats, x_dot, weight_dot, bias_dot, y_dot, partial,
    x_stride, weight_stride, bias_stride, stats_stride,
    x_dot_stride, weight_dot_stride, bias_dot_stride, rows, groups, C, S, n, tiles,
    SILU: tl.constexpr, LAST: tl.constexpr, STAGE: tl.constexpr,
    BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """y_dot = s1 (γ A x_dot + γ_dot x̂ + β_dot)."""
    pid, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, row = pid // rows, pid % rows
    at, channel, inside = place(row, tile, groups, C, S, n, LAST, BLOCK)
    m = tl.load(stats + probe * stats_stride + row * 2)
    r = tl.load(stats + probe * stats_stride + row * 2 + 1)
    x_hat = (load(x + probe * x_stride, at, inside, CT) - m) * r
    gamma = load(weight + probe * weight_stride, channel, inside, CT)
    a_dot = tl.zeros(x_hat.shape, CT)
    if x_dot is not None:
        t = load(x_dot + probe * x_dot_stride, at, inside, CT)
        t_mean = total(t, partial, pid, tile, 0, tiles, 2, STAGE, TILES) / n
        along = total(x_hat * t, partial, pid, tile, 1, tiles, 2, STAGE, TILES) / n
        a_dot += gamma * r * (t - t_mean - x_hat * along)
    if STAGE != SUMS:
        if weight_dot is not None:
            a_dot += load(weight_dot + probe * weight_dot_stride, channel, inside, CT) * x_hat
        if bias_dot is not None:
            a_dot += load(bias_dot + probe * bias_dot_stride, channel, inside, CT)
        beta = load(bias + probe * bias_stride, channel, inside, CT)
        s1, _ = slopes(gamma * x_hat + beta, SILU)
        tl.store(y_dot + probe * rows * n + at, s1 * a_dot, mask=inside)


@triton.jit
def vjp_kernel(
    x, weight, bias, stats, u, x_bar, partial,
    x_stride, weight_stride, bias_stride, stats_stride, u_stride, rows, groups, C, S, n, tiles,
    SILU: tl.constexpr, LAST: tl.constexpr, STAGE: tl.constexpr,
    BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """x̄ = A(γ s1 u)."""
    pid, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, row = pid // rows, pid % rows
    at, channel, inside = place(row, tile, groups, C, S, n, LAST, BLOCK)
    m = tl.load(stats + probe * stats_stride + row * 2)
    r = tl.load(stats + probe * stats_stride + row * 2 + 1)
    x_hat = (load(x + probe * x_stride, at, inside, CT) - m) * r
    gamma = load(weight + probe * weight_stride, channel, inside, CT)
    beta = load(bias + probe * bias_stride, channel, inside, CT)
    s1, _ = slopes(gamma * x_hat + beta, SILU)
    w = gamma * s1 * load(u + probe * u_stride, at, inside, CT)
    w_mean = total(w, partial, pid, tile, 0, tiles, 2, STAGE, TILES) / n
    along = total(x_hat * w, partial, pid, tile, 1, tiles, 2, STAGE, TILES) / n
    if STAGE != SUMS:
        tl.store(x_bar + probe * rows * n + at, r * (w - w_mean - x_hat * along), mask=inside)


@triton.jit
def hvp_kernel(
    x, weight, bias, stats, u, x_dot, weight_dot, bias_dot, x_bar, t_means, partial, bent,
    x_stride, weight_stride, bias_stride, stats_stride, u_stride,
    x_dot_stride, weight_dot_stride, bias_dot_stride, rows, groups, C, S, n, tiles,
    SILU: tl.constexpr, LAST: tl.constexpr, STAGE: tl.constexpr, BEND: tl.constexpr,
    ADD: tl.constexpr, BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """x̄ = A z - r mean(W·A x_dot) x̂ - r mean(x̂ x_dot) A W - r mean(x̂ W) A x_dot.

    z needs the first sums (STAGE), and sums of z (BEND) come second. t_means (P, B·G, 2) receives
    the means of x_dot and x̂ x_dot, for the weights. With ADD x̄ is added to what is there.
    """
    pid, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, row = pid // rows, pid % rows
    at, channel, inside = place(row, tile, groups, C, S, n, LAST, BLOCK)
    m = tl.load(stats + probe * stats_stride + row * 2)
    r = tl.load(stats + probe * stats_stride + row * 2 + 1)
    x_hat = (load(x + probe * x_stride, at, inside, CT) - m) * r
    gamma = load(weight + probe * weight_stride, channel, inside, CT)
    beta = load(bias + probe * bias_stride, channel, inside, CT)
    s1, s2 = slopes(gamma * x_hat + beta, SILU)
    cotangent = load(u + probe * u_stride, at, inside, CT)
    w = s1 * cotangent
    a_dot = tl.zeros(x_hat.shape, CT)
    result = tl.zeros(x_hat.shape, CT)
    if x_dot is not None:
        t = load(x_dot + probe * x_dot_stride, at, inside, CT)
        scaled = gamma * w
        t_mean = total(t, partial, pid, tile, 0, tiles, 5, STAGE, TILES) / n
        t_along = total(x_hat * t, partial, pid, tile, 1, tiles, 5, STAGE, TILES) / n
        w_mean = total(scaled, partial, pid, tile, 2, tiles, 5, STAGE, TILES) / n
        w_along = total(x_hat * scaled, partial, pid, tile, 3, tiles, 5, STAGE, TILES) / n
        both = total(scaled * t, partial, pid, tile, 4, tiles, 5, STAGE, TILES) / n
        at_dot = r * (t - t_mean - x_hat * t_along)
        aw = r * (scaled - w_mean - x_hat * w_along)
        across = r * (both - t_mean * w_mean - t_along * w_along)
        a_dot += gamma * at_dot
        result -= r * (across * x_hat + t_along * aw + w_along * at_dot)
        if STAGE != SUMS and BEND != SUMS and tile == 0:
            tl.store(t_means + pid * 2, t_mean)
            tl.store(t_means + pid * 2 + 1, t_along)
    if STAGE != SUMS:
        z = tl.zeros(x_hat.shape, CT)
        if weight_dot is not None:
            gamma_dot = load(weight_dot + probe * weight_dot_stride, channel, inside, CT)
            a_dot += gamma_dot * x_hat
            z += gamma_dot * w
        if SILU:
            if bias_dot is not None:
                a_dot += load(bias_dot + probe * bias_dot_stride, channel, inside, CT)
            z += gamma * s2 * cotangent * a_dot
        if SILU or weight_dot is not None:
            z_mean = total(z, bent, pid, tile, 0, tiles, 2, BEND, TILES) / n
            z_along = total(x_hat * z, bent, pid, tile, 1, tiles, 2, BEND, TILES) / n
            result += r * (z - z_mean - x_hat * z_along)
        if BEND != SUMS:
            if ADD:
                result += load(x_bar + probe * rows * n, at, inside, CT)
            tl.store(x_bar + probe * rows * n + at, result, mask=inside)
