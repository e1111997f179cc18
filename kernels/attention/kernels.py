# mypy: ignore-errors
"""The Triton kernels of attention: forward and jvp, and vjp and hvp for queries and for keys.

Notation   as in `reference.py`; i numbers rows of q, j rows of k; a name that ends in _t
           is transposed, (j, i). Scores are in units of ln 2, so that P is a power of two
Programs   one for BI rows i (in the *_keys kernels for BJ rows j) of one head of one probe, looping
           over the other side; no two programs add to one place, so there are no atomics. Where
           keys are few, several programs share their loop: axis 1 numbers their parts
Edges      rows past N have L = ∞, so their P is 0; columns past M are -∞ in the loops over columns
           and arbitrary where they are a program's own, which does not write them
Masks      an additive one comes with c (B, H, N), what `reference.py` takes off its rows
Constexpr  CT is the type of sums, float64 for float64 inputs; UP, or None, a type to convert inputs
           to as they are loaded, since the interpreter cannot multiply some; IP the precision of
           dots; MASK 0 for none, 1 for boolean, 2 for additive; EVEN that BJ divides M; BLOCKS the
           number of blocks of columns if they are few, else 0; QT and KT that memory has tokens
           first, for shapes of q and of k; D1 and D2 as in `blocks.py`
"""

import triton
import triton.language as tl

from latentgeo.kernels.attention.blocks import (
    add_dot,
    added,
    columns_end,
    dot_t,
    inner,
    matrix,
    numbers,
    part_of,
    place,
    probabilities,
    read,
    rows_range,
    scaled,
    scores,
    scores_dot,
    tile,
    write,
    zeros,
)

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def forward(
    q_ptr, k_ptr, v_ptr, mask_ptr, c_ptr, o_ptr, lse_ptr, mask_b, mask_h, mask_i, mask_j, B, N, M,
    H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, QT: tl.constexpr,
    KT: tl.constexpr, SCALE: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr,
    EVEN: tl.constexpr, BLOCKS: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr,
    CT: tl.constexpr, UP: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """o = P v and L, by a softmax that finds its maximum on the way."""
    first, h, b, _ = place(N, B, H, BI)
    at_q, at_k = matrix(b, h, N, H, D, QT), matrix(b, h, M, H, D, KT)
    rows, i = tile(first, N, H, D, D1, D2, QT, BI), first + tl.arange(0, BI)
    if mask_ptr is not None:
        mask_ptr += b * mask_b + h.to(tl.int64) * mask_h
    if c_ptr is not None:
        c_ptr += (b * H + h) * N
    q = read(q_ptr, at_q, rows, UP)
    o, total = zeros(BI, D1, D2, CT), tl.zeros([BI], CT)
    highest = tl.full([BI], -float("inf"), CT)
    for start in range(0, columns_end(first, M, BI, BJ, CAUSAL, BLOCKS), BJ):
        columns, j = tile(start, M, H, D, D1, D2, KT, BJ), (start + tl.arange(0, BJ))[None, :]
        k, v = read(k_ptr, at_k, columns, UP), read(v_ptr, at_k, columns, UP)
        s = scores(
            q, k, i[:, None], j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK, CAUSAL, EVEN,
            CT, IP,
        )  # fmt: skip
        new = tl.maximum(highest, tl.max(s, 1))
        finite = tl.where(new == -float("inf"), 0.0, new)
        p, shrink = tl.exp2(s - finite[:, None]), tl.exp2(highest - finite)
        total = total * shrink + tl.sum(p, 1)
        o = add_dot(scaled(o, shrink[:, None]), p, v, CT, IP)
        highest = new
    empty = total == 0.0
    total = tl.where(empty, 1.0, total)
    write(o_ptr, at_q, rows, scaled(o, (1.0 / total)[:, None]))
    lse = tl.where(empty, float("inf"), (highest + tl.log2(total)) * LN2)
    tl.store(lse_ptr + (b * H + h) * N + i, lse, mask=i < N)


@triton.jit
def jvp(
    q_ptr, k_ptr, v_ptr, mask_ptr, c_ptr, o_ptr, lse_ptr, q_dot_ptr, k_dot_ptr, v_dot_ptr,
    o_dot_ptr, mu_ptr, mask_b, mask_h, mask_i, mask_j, B, N, M,
    H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, QT: tl.constexpr,
    KT: tl.constexpr, SCALE: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr,
    EVEN: tl.constexpr, BLOCKS: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr,
    CT: tl.constexpr, UP: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """o_dot = (P∘S_dot) v + P v_dot - μ o and μ = Σ_j P∘S_dot."""
    first, h, b, r = place(N, B, H, BI)
    at_q, at_k = matrix(b, h, N, H, D, QT), matrix(b, h, M, H, D, KT)
    at_u, at_k_dot = matrix(r, h, N, H, D, QT), matrix(r, h, M, H, D, KT)
    rows, i = tile(first, N, H, D, D1, D2, QT, BI), first + tl.arange(0, BI)
    if mask_ptr is not None:
        mask_ptr += b * mask_b + h.to(tl.int64) * mask_h
    if c_ptr is not None:
        c_ptr += (b * H + h) * N
    q = read(q_ptr, at_q, rows, UP)
    q_dot = read(q_dot_ptr, at_u, rows, UP) if q_dot_ptr is not None else None
    lse = numbers(lse_ptr, b * H + h, i, N, float("inf"))[:, None]
    o_dot, mu = zeros(BI, D1, D2, CT), tl.zeros([BI], CT)
    for start in range(0, columns_end(first, M, BI, BJ, CAUSAL, BLOCKS), BJ):
        columns, j = tile(start, M, H, D, D1, D2, KT, BJ), (start + tl.arange(0, BJ))[None, :]
        k, v = read(k_ptr, at_k, columns, UP), read(v_ptr, at_k, columns, UP)
        k_dot = read(k_dot_ptr, at_k_dot, columns, UP) if k_dot_ptr is not None else None
        v_dot = read(v_dot_ptr, at_k_dot, columns, UP) if v_dot_ptr is not None else None
        p = probabilities(
            q, k, lse, i[:, None], j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK, CAUSAL,
            EVEN, CT, IP,
        )  # fmt: skip
        weighted = p * scores_dot(q, k, q_dot, k_dot, SCALE, CT, IP)
        mu += tl.sum(weighted, 1)
        o_dot = add_dot(o_dot, weighted, v, CT, IP)
        if v_dot is not None:
            o_dot = add_dot(o_dot, p, v_dot, CT, IP)
    shift = scaled(read(o_ptr, at_q, rows, CT), -mu[:, None])
    write(o_dot_ptr, at_u, rows, added(o_dot, shift))
    tl.store(mu_ptr + (r * H + h) * N + i, mu, mask=i < N)


@triton.jit
def vjp_queries(
    q_ptr, k_ptr, v_ptr, mask_ptr, c_ptr, o_ptr, lse_ptr, u_ptr, dq_ptr, delta_ptr,
    mask_b, mask_h, mask_i, mask_j, B, N, M,
    H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, QT: tl.constexpr,
    KT: tl.constexpr, SCALE: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr,
    EVEN: tl.constexpr, BLOCKS: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr,
    CT: tl.constexpr, UP: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """dq = α dS k, unless its pointer is None, and δ = ⟨u, o⟩."""
    first, h, b, r = place(N, B, H, BI)
    at_q, at_k = matrix(b, h, N, H, D, QT), matrix(b, h, M, H, D, KT)
    at_u = matrix(r, h, N, H, D, QT)
    rows, i = tile(first, N, H, D, D1, D2, QT, BI), first + tl.arange(0, BI)
    if mask_ptr is not None:
        mask_ptr += b * mask_b + h.to(tl.int64) * mask_h
    if c_ptr is not None:
        c_ptr += (b * H + h) * N
    q, u = read(q_ptr, at_q, rows, UP), read(u_ptr, at_u, rows, UP)
    delta = inner(u, read(o_ptr, at_q, rows, UP), CT)
    tl.store(delta_ptr + (r * H + h) * N + i, delta, mask=i < N)
    if dq_ptr is not None:
        lse = numbers(lse_ptr, b * H + h, i, N, float("inf"))[:, None]
        dq = zeros(BI, D1, D2, CT)
        for start in range(0, columns_end(first, M, BI, BJ, CAUSAL, BLOCKS), BJ):
            columns, j = tile(start, M, H, D, D1, D2, KT, BJ), (start + tl.arange(0, BJ))[None, :]
            k, v = read(k_ptr, at_k, columns, UP), read(v_ptr, at_k, columns, UP)
            p = probabilities(
                q, k, lse, i[:, None], j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK,
                CAUSAL, EVEN, CT, IP,
            )  # fmt: skip
            d_s = p * (dot_t(u, v, None, CT, IP) - delta[:, None])
            dq = add_dot(dq, d_s, k, CT, IP)
        write(dq_ptr, at_u, rows, scaled(dq, SCALE))


@triton.jit
def vjp_keys(
    q_ptr, k_ptr, v_ptr, mask_ptr, c_ptr, lse_ptr, u_ptr, delta_ptr, dk_ptr, dv_ptr,
    mask_b, mask_h, mask_i, mask_j, B, N, M, PART,
    H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, QT: tl.constexpr,
    KT: tl.constexpr, SCALE: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr,
    BI: tl.constexpr, BJ: tl.constexpr, CT: tl.constexpr, UP: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """dk = α dSᵀ q and dv = Pᵀ u, each unless its pointer is None."""
    first, h, b, r = place(M, B, H, BJ)
    at_q, at_k = matrix(b, h, N, H, D, QT), matrix(b, h, M, H, D, KT)
    at_u = matrix(r, h, N, H, D, QT)
    columns, j = tile(first, M, H, D, D1, D2, KT, BJ), first + tl.arange(0, BJ)
    if mask_ptr is not None:
        mask_ptr += b * mask_b + h.to(tl.int64) * mask_h
    if c_ptr is not None:
        c_ptr += (b * H + h) * N
    k, v = read(k_ptr, at_k, columns, UP), read(v_ptr, at_k, columns, UP)
    dk, dv = zeros(BJ, D1, D2, CT), zeros(BJ, D1, D2, CT)
    begin, end = rows_range(first, N, PART, BI, CAUSAL)
    for start in range(begin, end, BI):
        rows, i = tile(start, N, H, D, D1, D2, QT, BI), start + tl.arange(0, BI)
        q, u = read(q_ptr, at_q, rows, UP), read(u_ptr, at_u, rows, UP)
        lse = numbers(lse_ptr, b * H + h, i, N, float("inf"))[None, :]
        delta = numbers(delta_ptr, r * H + h, i, N, 0.0)[None, :]
        p_t = probabilities(
            k, q, lse, i[None, :], j[:, None], N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK,
            CAUSAL, True, CT, IP,
        )  # fmt: skip
        if dv_ptr is not None:
            dv = add_dot(dv, p_t, u, CT, IP)
        if dk_ptr is not None:
            d_s_t = p_t * (dot_t(v, u, None, CT, IP) - delta)
            dk = add_dot(dk, d_s_t, q, CT, IP)
    at = matrix(part_of(r, M, H, BJ), h, M, H, D, KT)
    if dk_ptr is not None:
        write(dk_ptr, at, columns, scaled(dk, SCALE))
    if dv_ptr is not None:
        write(dv_ptr, at, columns, dv)


@triton.jit
def hvp_queries(
    q_ptr, k_ptr, v_ptr, mask_ptr, c_ptr, o_ptr, lse_ptr, u_ptr, q_dot_ptr, k_dot_ptr, v_dot_ptr,
    o_dot_ptr, mu_ptr, gq_ptr, delta_ptr, rho_ptr, mask_b, mask_h, mask_i, mask_j, B, N, M,
    H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, QT: tl.constexpr,
    KT: tl.constexpr, SCALE: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr,
    EVEN: tl.constexpr, BLOCKS: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr,
    CT: tl.constexpr, UP: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """gq = α (gS k + dS k_dot), unless its pointer is None, δ = ⟨u, o⟩ and ρ = ⟨u, o_dot⟩."""
    first, h, b, r = place(N, B, H, BI)
    at_q, at_k = matrix(b, h, N, H, D, QT), matrix(b, h, M, H, D, KT)
    at_u, at_k_dot = matrix(r, h, N, H, D, QT), matrix(r, h, M, H, D, KT)
    rows, i = tile(first, N, H, D, D1, D2, QT, BI), first + tl.arange(0, BI)
    if mask_ptr is not None:
        mask_ptr += b * mask_b + h.to(tl.int64) * mask_h
    if c_ptr is not None:
        c_ptr += (b * H + h) * N
    q, u = read(q_ptr, at_q, rows, UP), read(u_ptr, at_u, rows, UP)
    delta = inner(u, read(o_ptr, at_q, rows, UP), CT)
    rho = inner(u, read(o_dot_ptr, at_u, rows, UP), CT)
    tl.store(delta_ptr + (r * H + h) * N + i, delta, mask=i < N)
    tl.store(rho_ptr + (r * H + h) * N + i, rho, mask=i < N)
    if gq_ptr is not None:
        q_dot = read(q_dot_ptr, at_u, rows, UP) if q_dot_ptr is not None else None
        lse = numbers(lse_ptr, b * H + h, i, N, float("inf"))[:, None]
        mu = numbers(mu_ptr, r * H + h, i, N, 0.0)[:, None]
        gq = zeros(BI, D1, D2, CT)
        for start in range(0, columns_end(first, M, BI, BJ, CAUSAL, BLOCKS), BJ):
            columns, j = tile(start, M, H, D, D1, D2, KT, BJ), (start + tl.arange(0, BJ))[None, :]
            k, v = read(k_ptr, at_k, columns, UP), read(v_ptr, at_k, columns, UP)
            k_dot = read(k_dot_ptr, at_k_dot, columns, UP) if k_dot_ptr is not None else None
            v_dot = read(v_dot_ptr, at_k_dot, columns, UP) if v_dot_ptr is not None else None
            p = probabilities(
                q, k, lse, i[:, None], j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK,
                CAUSAL, EVEN, CT, IP,
            )  # fmt: skip
            d_s = p * (dot_t(u, v, None, CT, IP) - delta[:, None])
            g_s = (scores_dot(q, k, q_dot, k_dot, SCALE, CT, IP) - mu) * d_s - p * rho[:, None]
            if v_dot is not None:
                g_s += p * dot_t(u, v_dot, None, CT, IP)
            gq = add_dot(gq, g_s, k, CT, IP)
            if k_dot is not None:
                gq = add_dot(gq, d_s, k_dot, CT, IP)
        write(gq_ptr, at_u, rows, scaled(gq, SCALE))


@triton.jit
def hvp_keys(
    q_ptr, k_ptr, v_ptr, mask_ptr, c_ptr, lse_ptr, u_ptr, q_dot_ptr, k_dot_ptr, v_dot_ptr, mu_ptr,
    delta_ptr, rho_ptr, gk_ptr, gv_ptr, mask_b, mask_h, mask_i, mask_j, B, N, M, PART,
    H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, QT: tl.constexpr,
    KT: tl.constexpr, SCALE: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr,
    BI: tl.constexpr, BJ: tl.constexpr, CT: tl.constexpr, UP: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """gk = α (gSᵀ q + dSᵀ q_dot) and gv = P_dotᵀ u, each unless its pointer is None."""
    first, h, b, r = place(M, B, H, BJ)
    at_q, at_k = matrix(b, h, N, H, D, QT), matrix(b, h, M, H, D, KT)
    at_u, at_k_dot = matrix(r, h, N, H, D, QT), matrix(r, h, M, H, D, KT)
    columns, j = tile(first, M, H, D, D1, D2, KT, BJ), first + tl.arange(0, BJ)
    if mask_ptr is not None:
        mask_ptr += b * mask_b + h.to(tl.int64) * mask_h
    if c_ptr is not None:
        c_ptr += (b * H + h) * N
    k, v = read(k_ptr, at_k, columns, UP), read(v_ptr, at_k, columns, UP)
    k_dot = read(k_dot_ptr, at_k_dot, columns, UP) if k_dot_ptr is not None else None
    v_dot = read(v_dot_ptr, at_k_dot, columns, UP) if v_dot_ptr is not None else None
    gk, gv = zeros(BJ, D1, D2, CT), zeros(BJ, D1, D2, CT)
    begin, end = rows_range(first, N, PART, BI, CAUSAL)
    for start in range(begin, end, BI):
        rows, i = tile(start, N, H, D, D1, D2, QT, BI), start + tl.arange(0, BI)
        q, u = read(q_ptr, at_q, rows, UP), read(u_ptr, at_u, rows, UP)
        q_dot = read(q_dot_ptr, at_u, rows, UP) if q_dot_ptr is not None else None
        lse = numbers(lse_ptr, b * H + h, i, N, float("inf"))[None, :]
        mu = numbers(mu_ptr, r * H + h, i, N, 0.0)[None, :]
        p_t = probabilities(
            k, q, lse, i[None, :], j[:, None], N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK,
            CAUSAL, True, CT, IP,
        )  # fmt: skip
        centred = scores_dot(k, q, k_dot, q_dot, SCALE, CT, IP) - mu
        if gv_ptr is not None:
            gv = add_dot(gv, p_t * centred, u, CT, IP)
        if gk_ptr is not None:
            delta = numbers(delta_ptr, r * H + h, i, N, 0.0)[None, :]
            rho = numbers(rho_ptr, r * H + h, i, N, 0.0)[None, :]
            d_s_t = p_t * (dot_t(v, u, None, CT, IP) - delta)
            g_s_t = centred * d_s_t - p_t * rho
            if v_dot is not None:
                g_s_t += p_t * dot_t(v_dot, u, None, CT, IP)
            gk = add_dot(gk, g_s_t, q, CT, IP)
            if q_dot is not None:
                gk = add_dot(gk, d_s_t, q_dot, CT, IP)
    at = matrix(part_of(r, M, H, BJ), h, M, H, D, KT)
    if gk_ptr is not None:
        write(gk_ptr, at, columns, scaled(gk, SCALE))
    if gv_ptr is not None:
        write(gv_ptr, at, columns, gv)
