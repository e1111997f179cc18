# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: the norms' gradients in γ and β, sums over samples and positions for every channel.

A program of `columns_kernel` adds up CB channels over STEPS tiles of KB positions of one sample, or
where a sample has one position KB samples, and files the two sums. `added_kernel` adds what was
filed, in one order, and rounds it to the weights' types.

Traffic    x and u once, and x_dot for second derivatives
Length     both orders are one kernel, as what they load and recompute is the same
"""

from __future__ import annotations

import triton
import triton.language as tl

from latentgeo.kernels.norms.kernels import slopes
from latentgeo.kernels.norms.tiles import load


@triton.jit
def columns_kernel(
    x, weight, bias, stats, u, x_dot, weight_dot, bias_dot, t_means, of_y, partial,
    x_stride, weight_stride, bias_stride, stats_stride, u_stride,
    x_dot_stride, weight_dot_stride, bias_dot_stride, t_stride, of_y_stride,
    groups, C, S, splits,
    SILU: tl.constexpr, LAST: tl.constexpr, SECOND: tl.constexpr, FULL: tl.constexpr,
    ROWS: tl.constexpr, ONE: tl.constexpr, T_STEP: tl.constexpr,
    CB: tl.constexpr, KB: tl.constexpr, STEPS: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """Σ w x̂ and Σ w; with SECOND, Σ q x̂ + w A x_dot and Σ q. partial is (P, programs, 2, C).

    With SECOND, Σ w' x̂ and Σ w' are added for a cotangent of y, w' = s1 of_y. With ROWS positions
    are samples; with ONE there is one group.
    """
    program, probe = tl.program_id(0), tl.program_id(2).to(tl.int64)
    sample, split = program // splits, program % splits
    channel = tl.program_id(1) * CB + tl.arange(0, CB)[:, None]
    exists = channel < C
    gamma = load(weight + probe * weight_stride, channel, exists, CT, FULL)
    beta = load(bias + probe * bias_stride, channel, exists, CT, FULL)
    gamma_dot, beta_dot = tl.zeros_like(gamma), tl.zeros_like(beta)
    if weight_dot is not None:
        gamma_dot = load(weight_dot + probe * weight_dot_stride, channel, exists, CT, FULL)
    if bias_dot is not None:
        beta_dot = load(bias_dot + probe * bias_dot_stride, channel, exists, CT, FULL)
    group = ((channel + 0.5) * (groups / C)).to(tl.int32)
    in_weight = tl.zeros((CB, KB), CT)
    in_bias = tl.zeros((CB, KB), CT)
    for step in range(STEPS):
        position = (split * STEPS + step) * KB + tl.arange(0, KB)[None, :]
        inside = exists & (position < S)
        if LAST:
            at = (sample.to(tl.int64) * S + position) * C + channel
        else:
            at = (sample.to(tl.int64) * C + channel) * S + position
        if ROWS and ONE:
            one, known = position, position < S
        elif ROWS:
            one, known = position * groups + group, inside
        else:
            one, known = sample * groups + group, exists
        m = load(stats + probe * stats_stride, one * 2, known, CT, FULL)
        r = load(stats + probe * stats_stride, one * 2 + 1, known, CT, FULL)
        x_hat = (load(x + probe * x_stride, at, inside, CT, FULL) - m) * r
        s1, s2 = slopes(gamma * x_hat + beta, SILU)
        cotangent = load(u + probe * u_stride, at, inside, CT, FULL)
        w = s1 * cotangent
        if SECOND:
            a_dot = gamma_dot * x_hat + beta_dot
            if x_dot is not None:
                t = load(x_dot + probe * x_dot_stride, at, inside, CT, FULL)
                t_mean = load(t_means + probe * t_stride, one * T_STEP, known, CT, FULL)
                t_along = load(t_means + probe * t_stride, one * T_STEP + 1, known, CT, FULL)
                curved = r * (t - t_mean - x_hat * t_along)
                a_dot += gamma * curved
                in_weight += w * curved
            q = s2 * cotangent * a_dot
            if of_y is not None:
                q += s1 * load(of_y + probe * of_y_stride, at, inside, CT, FULL)
            in_weight += q * x_hat
            in_bias += q
        else:
            in_weight += w * x_hat
            in_bias += w
    filed = partial + (probe * tl.num_programs(0) + program) * 2 * C + channel
    tl.store(filed, tl.sum(in_weight, axis=1)[:, None], mask=exists)
    tl.store(filed + C, tl.sum(in_bias, axis=1)[:, None], mask=exists)


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
            weight_sum += tl.sum(load(partial, at, inside, CT, False), axis=0)
        if in_bias is not None:
            bias_sum += tl.sum(load(partial, at + C, inside, CT, False), axis=0)
    if in_weight is not None:
        tl.store(in_weight + probe * C + channel, weight_sum, mask=exists)
    if in_bias is not None:
        tl.store(in_bias + probe * C + channel, bias_sum, mask=exists)
