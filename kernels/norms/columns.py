# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: the norms' gradients in γ and β, sums over samples and positions for every channel.

A program of `columns_kernel` adds up CB channels over STEPS tiles of KB places each, a place
k = b S + s being one position of one sample, and files the two sums. `added_kernel` adds what was
filed, in one order, and rounds it to the weights' types.

Traffic    x and u once, and x_dot for second derivatives
Length     both orders are one kernel, as what they load and recompute is the same
"""

from __future__ import annotations

import triton
import triton.language as tl

from latentgeo.kernels.norms.kernels import slopes
from latentgeo.kernels.wiring.tiles import load


@triton.jit
def columns_kernel(
    x, weight, bias, stats, u, x_dot, weight_dot, bias_dot, t_means, of_y, partial,
    x_stride, weight_stride, bias_stride, stats_stride, u_stride,
    x_dot_stride, weight_dot_stride, bias_dot_stride, t_stride, of_y_stride, groups, C, S, places,
    SILU: tl.constexpr, LAST: tl.constexpr, SECOND: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, STEPS: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """Σ w x̂ and Σ w; with SECOND, Σ q x̂ + w A x_dot and Σ q. partial is (P, programs, 2, C).

    With SECOND, Σ w' x̂ and Σ w' are added for a cotangent of y, w' = s1 of_y.
    """
    split, probe = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(0) * CB + tl.arange(0, CB)
    exists = channel < C
    gamma = load(weight + probe * weight_stride, channel, exists, CT)[:, None]
    beta = load(bias + probe * bias_stride, channel, exists, CT)[:, None]
    in_weight = tl.zeros((CB,), CT)
    in_bias = tl.zeros((CB,), CT)
    for step in range(STEPS):
        k = (split * STEPS + step) * KB + tl.arange(0, KB)[None, :]
        inside = exists[:, None] & (k < places)
        if LAST:
            at = k * C + channel[:, None]
        else:
            at = (k // S * C + channel[:, None]) * S + k % S
        row = k // S * groups + channel[:, None] // (C // groups)
        m = load(stats + probe * stats_stride, row * 2, inside, CT)
        r = load(stats + probe * stats_stride, row * 2 + 1, inside, CT)
        x_hat = (load(x + probe * x_stride, at, inside, CT) - m) * r
        s1, s2 = slopes(gamma * x_hat + beta, SILU)
        cotangent = load(u + probe * u_stride, at, inside, CT)
        w = s1 * cotangent
        if SECOND:
            a_dot = tl.zeros((CB, KB), CT)
            curved = tl.zeros((CB, KB), CT)
            if x_dot is not None:
                t = load(x_dot + probe * x_dot_stride, at, inside, CT)
                t_mean = load(t_means + probe * t_stride, row * 2, inside, CT)
                t_along = load(t_means + probe * t_stride, row * 2 + 1, inside, CT)
                curved += r * (t - t_mean - x_hat * t_along)
                a_dot += gamma * curved
            if weight_dot is not None:
                gamma_dot = load(weight_dot + probe * weight_dot_stride, channel, exists, CT)
                a_dot += gamma_dot[:, None] * x_hat
            if bias_dot is not None:
                a_dot += load(bias_dot + probe * bias_dot_stride, channel, exists, CT)[:, None]
            q = s2 * cotangent * a_dot
            if of_y is not None:
                q += s1 * load(of_y + probe * of_y_stride, at, inside, CT)
            in_weight += tl.sum(q * x_hat + w * curved, axis=1)
            in_bias += tl.sum(q, axis=1)
        else:
            in_weight += tl.sum(w * x_hat, axis=1)
            in_bias += tl.sum(w, axis=1)
    filed = partial + (probe * tl.num_programs(1) + split) * 2 * C + channel
    tl.store(filed, in_weight, mask=exists)
    tl.store(filed + C, in_bias, mask=exists)


@triton.jit
def added_kernel(
    partial, in_weight, in_bias, programs, C,
    CB: tl.constexpr, PB: tl.constexpr, STEPS: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """The sums (P, C) of partial (P, programs, 2, C) over programs, None where not wanted."""
    probe = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * CB + tl.arange(0, CB)
    exists = channel < C
    weight_sum, bias_sum = tl.zeros((CB,), CT), tl.zeros((CB,), CT)
    for step in range(STEPS):
        i = step * PB + tl.arange(0, PB)[:, None]
        at = (probe * programs + i) * 2 * C + channel[None, :]
        inside = (i < programs) & exists[None, :]
        if in_weight is not None:
            weight_sum += tl.sum(load(partial, at, inside, CT), axis=0)
        if in_bias is not None:
            bias_sum += tl.sum(load(partial, at + C, inside, CT), axis=0)
    if in_weight is not None:
        tl.store(in_weight + probe * C + channel, weight_sum, mask=exists)
    if in_bias is not None:
        tl.store(in_bias + probe * C + channel, bias_sum, mask=exists)
