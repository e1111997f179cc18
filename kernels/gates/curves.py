# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: the logistic function, and the normal distribution for GELU, in few instructions.

Exponentials and reciprocals in float32 each take an instruction of the special function unit, and
three to seven more for denormal numbers and for those beyond 2^126. Where the value cannot tell,
the argument is kept from there: 2 raised to at least -126, and 1 / v as (1 / √v)² for v ≥ 1.

Source     Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17: Φ is off by 7.5e-8
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid(a):
    """Return 1 / (1 + e^-a)."""
    root = tl.rsqrt(1 + tl.exp2(tl.maximum(a * -1.4426950408889634, -126.0)))
    return root * root


@triton.jit
def normal_tail(b, bell):
    """Return Φ(-|b|), Φ of N(0, 1), for bell = e^(-b²/2)."""
    if b.dtype == tl.float64:
        tail = 0.5 - 0.5 * tl.erf(tl.abs(b) * 0.7071067811865476)
    else:
        root = tl.rsqrt(1 + 0.23164190 * tl.abs(b))
        t = root * root
        series = 0.7107068705 + t * (-0.7265760135 + t * 0.5307027145)
        series = 0.127414796 + t * (-0.142248368 + t * series)
        tail = bell * t * series
    return tail


@triton.jit
def gelu(b):
    """Return g = b Φ(b)."""
    bell = tl.exp2(tl.maximum(b * b * -0.7213475204444817, -126.0))
    return tl.maximum(b, 0.0) - tl.abs(b) * normal_tail(b, bell)


@triton.jit
def gelu_slopes(b):
    """Return g = b Φ, g' = Φ + b φ and g'' = φ (2 - b²), φ = Φ'."""
    bell = tl.exp2(b * b * -0.7213475204444817)
    density = 0.3989422804014327 * bell
    tail = normal_tail(b, bell)
    cdf = tl.where(b < 0, tail, 1 - tail)
    return b * cdf, cdf + b * density, density * (2 - b * b)
