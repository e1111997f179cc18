# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: the norms' closed forms in x, one program per tile of channels by positions.

`reference.py` has the notation and the formulas, `tiles.py` where a tile lies and how it is summed,
`columns.py` the sums for γ and β, `launch.py` what calls all three.

Traffic    a group in one tile: every operand once; in several tiles: twice, `hvp` with SiLU or a
           tangent of γ three times, the later ones from the cache while it lasts. γ, β and what a
           group has one of are loaded once per channel of a tile
Length     `hvp_kernel` is one, as its terms share what they load; cut in two it would read x twice
"""

from __future__ import annotations

import triton
import triton.language as tl

from latentgeo.kernels.gates.curves import sigmoid
from latentgeo.kernels.norms.tiles import load, mean, per_group, place, places
from latentgeo.kernels.wiring.tiles import APPLY, SUMS


@triton.jit
def slopes(a, SILU: tl.constexpr):
    """Return φ'(a) and φ''(a), φ the identity or SiLU."""
    if SILU:
        s = sigmoid(a)
        s1 = s * (1 + a * (1 - s))
        s2 = s * (1 - s) * (2 + a * (1 - 2 * s))
    else:
        s1 = tl.full(a.shape, 1, a.dtype)
        s2 = tl.full(a.shape, 0, a.dtype)
    return s1, s2


@triton.jit
def moments(
    values, inside, partial, here, S, abreast, span,
    STAGE: tl.constexpr, MIXED: tl.constexpr, FULL: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """Return mean and squared distances of a group; SUMS files those of a tile, to be merged."""
    first, one, spot, channel, exists, C, n, tiles = here
    tile = tl.program_id(1)
    long = tl.minimum(S - tile // abreast * KB, KB)
    if STAGE == APPLY:
        i = tl.arange(0, TILES)
        channels = tl.minimum(span - i % abreast * CB, CB)
        count = channels * tl.minimum(S - i // abreast * KB, KB)
        count = tl.where(i < tiles, count, 0).to(CT)
        means = load(partial, ((first + one) * tiles + i) * 2, i < tiles, CT, False)
        squares = load(partial, ((first + one) * tiles + i) * 2 + 1, i < tiles, CT, False)
        m = tl.sum(count * means) / n
        m2 = tl.sum(squares + count * (means - m) * (means - m))
    else:
        if MIXED:
            m = tl.sum(values, axis=1)[:, None] / long
        else:
            m = tl.sum(values) / (long * tl.minimum(span - tile % abreast * CB, CB))
        centred = values - m
        if not FULL:
            centred = tl.where(inside, centred, 0)
        if MIXED:
            m2 = tl.sum(centred * centred, axis=1)[:, None]
            tl.store(partial + spot * 2 * C + channel, m, mask=exists)
            tl.store(partial + spot * 2 * C + C + channel, m2, mask=exists)
        else:
            m2 = tl.sum(centred * centred)
            if STAGE == SUMS:
                tl.store(partial + spot * 2, m)
                tl.store(partial + spot * 2 + 1, m2)
    return m, m2


@triton.jit
def forward_kernel(
    x, weight, bias, y, stats, partial,
    x_stride, weight_stride, bias_stride,
    groups, spans, span, rows, C, S, n, size, abreast, tiles,
    EPS: tl.constexpr, STAGE: tl.constexpr,
    SILU: tl.constexpr, LAST: tl.constexpr, MIXED: tl.constexpr, FULL: tl.constexpr,
    UNIT: tl.constexpr, ALONE: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """y = φ(γ x̂ + β). If MIXED, APPLY finds m and r in stats."""
    probe = tl.program_id(2).to(tl.int64)
    at, inside, channel, exists = place(spans, span, C, S, abreast, LAST, UNIT, ALONE, CB, KB)
    here = places(channel, exists, groups, C, n, rows, abreast, tiles, MIXED)
    own, one = stats + here[0] * 2, here[1]
    values = load(x + probe * x_stride, at, inside, CT, FULL)
    if STAGE == APPLY and MIXED:
        m = per_group(own, one * 2, exists, MIXED, FULL)
        r = per_group(own, one * 2 + 1, exists, MIXED, FULL)
    else:
        m, m2 = moments(
            values, inside, partial, here, S, abreast, span,
            STAGE, MIXED, FULL, CB, KB, TILES, CT,
        )  # fmt: skip
        r = tl.rsqrt(m2 / n + EPS)
    if STAGE != SUMS:
        gamma = load(weight + probe * weight_stride, channel, exists, CT, FULL)
        beta = load(bias + probe * bias_stride, channel, exists, CT, FULL)
        a = (values - m) * (gamma * r) + beta
        if SILU:
            a = a * sigmoid(a)
        tl.store(y + probe * size + at, a, mask=inside)
        if not MIXED:
            if tl.program_id(1) == 0:
                tl.store(own + one * 2, m)
                tl.store(own + one * 2 + 1, r)


@triton.jit
def jvp_kernel(
    x, weight, bias, stats, x_dot, weight_dot, bias_dot, y_dot, partial,
    x_stride, weight_stride, bias_stride, stats_stride,
    x_dot_stride, weight_dot_stride, bias_dot_stride,
    groups, spans, span, rows, C, S, n, size, abreast, tiles,
    STAGE: tl.constexpr,
    SILU: tl.constexpr, LAST: tl.constexpr, MIXED: tl.constexpr, FULL: tl.constexpr,
    UNIT: tl.constexpr, ALONE: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """y_dot = s1 (γ A x_dot + γ_dot x̂ + β_dot)."""
    probe = tl.program_id(2).to(tl.int64)
    at, inside, channel, exists = place(spans, span, C, S, abreast, LAST, UNIT, ALONE, CB, KB)
    here = places(channel, exists, groups, C, n, rows, abreast, tiles, MIXED)
    known, of = stats + probe * stats_stride, here[1] * 2
    m, r = per_group(known, of, exists, MIXED, FULL), per_group(known, of + 1, exists, MIXED, FULL)
    x_hat = (load(x + probe * x_stride, at, inside, CT, FULL) - m) * r
    gamma = load(weight + probe * weight_stride, channel, exists, CT, FULL)
    a_dot = tl.zeros(x_hat.shape, CT)
    if x_dot is not None:
        t = load(x_dot + probe * x_dot_stride, at, inside, CT, FULL)
        t_mean = mean(t, partial, here, 0, 2, STAGE, MIXED, FULL, TILES)
        along = mean(x_hat * t, partial, here, 1, 2, STAGE, MIXED, FULL, TILES)
        a_dot += gamma * r * (t - t_mean - x_hat * along)
    if STAGE != SUMS:
        if weight_dot is not None:
            a_dot += load(weight_dot + probe * weight_dot_stride, channel, exists, CT, FULL) * x_hat
        if bias_dot is not None:
            a_dot += load(bias_dot + probe * bias_dot_stride, channel, exists, CT, FULL)
        beta = load(bias + probe * bias_stride, channel, exists, CT, FULL)
        s1, _ = slopes(gamma * x_hat + beta, SILU)
        tl.store(y_dot + probe * size + at, s1 * a_dot, mask=inside)


@triton.jit
def vjp_kernel(
    x, weight, bias, stats, u, x_bar, partial,
    x_stride, weight_stride, bias_stride, stats_stride, u_stride,
    groups, spans, span, rows, C, S, n, size, abreast, tiles,
    STAGE: tl.constexpr,
    SILU: tl.constexpr, LAST: tl.constexpr, MIXED: tl.constexpr, FULL: tl.constexpr,
    UNIT: tl.constexpr, ALONE: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """x̄ = A(γ s1 u)."""
    probe = tl.program_id(2).to(tl.int64)
    at, inside, channel, exists = place(spans, span, C, S, abreast, LAST, UNIT, ALONE, CB, KB)
    here = places(channel, exists, groups, C, n, rows, abreast, tiles, MIXED)
    known, of = stats + probe * stats_stride, here[1] * 2
    m, r = per_group(known, of, exists, MIXED, FULL), per_group(known, of + 1, exists, MIXED, FULL)
    x_hat = (load(x + probe * x_stride, at, inside, CT, FULL) - m) * r
    gamma = load(weight + probe * weight_stride, channel, exists, CT, FULL)
    beta = load(bias + probe * bias_stride, channel, exists, CT, FULL)
    s1, _ = slopes(gamma * x_hat + beta, SILU)
    w = gamma * s1 * load(u + probe * u_stride, at, inside, CT, FULL)
    w_mean = mean(w, partial, here, 0, 2, STAGE, MIXED, FULL, TILES)
    along = mean(x_hat * w, partial, here, 1, 2, STAGE, MIXED, FULL, TILES)
    if STAGE != SUMS:
        tl.store(x_bar + probe * size + at, r * (w - w_mean - x_hat * along), mask=inside)


@triton.jit
def hvp_kernel(
    x, weight, bias, stats, u, x_dot, weight_dot, bias_dot, x_bar, t_means, partial, bent,
    x_stride, weight_stride, bias_stride, stats_stride, u_stride,
    x_dot_stride, weight_dot_stride, bias_dot_stride,
    groups, spans, span, rows, C, S, n, size, abreast, tiles,
    STAGE: tl.constexpr, BEND: tl.constexpr, ADD: tl.constexpr,
    SILU: tl.constexpr, LAST: tl.constexpr, MIXED: tl.constexpr, FULL: tl.constexpr,
    UNIT: tl.constexpr, ALONE: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """x̄ = A z - r mean(W·A x_dot) x̂ - r mean(x̂ x_dot) A W - r mean(x̂ W) A x_dot.

    z needs the first sums (STAGE), and sums of z (BEND) come second. t_means (P, B·G, 2) receives
    the means of x_dot and x̂ x_dot, for the weights. With ADD x̄ is added to what is there.
    """
    probe = tl.program_id(2).to(tl.int64)
    at, inside, channel, exists = place(spans, span, C, S, abreast, LAST, UNIT, ALONE, CB, KB)
    here = places(channel, exists, groups, C, n, rows, abreast, tiles, MIXED)
    known, of = stats + probe * stats_stride, here[1] * 2
    m, r = per_group(known, of, exists, MIXED, FULL), per_group(known, of + 1, exists, MIXED, FULL)
    x_hat = (load(x + probe * x_stride, at, inside, CT, FULL) - m) * r
    gamma = load(weight + probe * weight_stride, channel, exists, CT, FULL)
    beta = load(bias + probe * bias_stride, channel, exists, CT, FULL)
    s1, s2 = slopes(gamma * x_hat + beta, SILU)
    cotangent = load(u + probe * u_stride, at, inside, CT, FULL)
    w = s1 * cotangent
    a_dot = tl.zeros(x_hat.shape, CT)
    result = tl.zeros(x_hat.shape, CT)
    if x_dot is not None:
        t = load(x_dot + probe * x_dot_stride, at, inside, CT, FULL)
        scaled = gamma * w
        t_mean = mean(t, partial, here, 0, 5, STAGE, MIXED, FULL, TILES)
        t_along = mean(x_hat * t, partial, here, 1, 5, STAGE, MIXED, FULL, TILES)
        w_mean = mean(scaled, partial, here, 2, 5, STAGE, MIXED, FULL, TILES)
        w_along = mean(x_hat * scaled, partial, here, 3, 5, STAGE, MIXED, FULL, TILES)
        both = mean(scaled * t, partial, here, 4, 5, STAGE, MIXED, FULL, TILES)
        at_dot = r * (t - t_mean - x_hat * t_along)
        aw = r * (scaled - w_mean - x_hat * w_along)
        across = r * (both - t_mean * w_mean - t_along * w_along)
        a_dot += gamma * at_dot
        result -= r * (across * x_hat + t_along * aw + w_along * at_dot)
        if STAGE != SUMS and BEND != SUMS and not MIXED:
            if tl.program_id(1) == 0:
                tl.store(t_means + (here[0] + here[1]) * 2, t_mean)
                tl.store(t_means + (here[0] + here[1]) * 2 + 1, t_along)
    if STAGE != SUMS:
        z = tl.zeros(x_hat.shape, CT)
        if weight_dot is not None:
            gamma_dot = load(weight_dot + probe * weight_dot_stride, channel, exists, CT, FULL)
            a_dot += gamma_dot * x_hat
            z += gamma_dot * w
        if SILU:
            if bias_dot is not None:
                a_dot += load(bias_dot + probe * bias_dot_stride, channel, exists, CT, FULL)
            z += gamma * s2 * cotangent * a_dot
        if SILU or weight_dot is not None:
            z_mean = mean(z, bent, here, 0, 2, BEND, MIXED, FULL, TILES)
            z_along = mean(x_hat * z, bent, here, 1, 2, BEND, MIXED, FULL, TILES)
            result += r * (z - z_mean - x_hat * z_along)
        if BEND != SUMS:
            if ADD:
                result += load(x_bar + probe * size, at, inside, CT, FULL)
            tl.store(x_bar + probe * size + at, result, mask=inside)
