# mypy: ignore-errors
"""Blocks of a matrix of scores, as the kernels of `kernels.py` read and multiply them.

Width      d is no power of two in general, so BLOCK rows are a tuple of two blocks, of D1 and of D2
           columns (40 is 32 + 16, 80 is 64 + 16, both with columns to spare), or of one where
           D2 = 0. What is beyond the last row or column reads as zero and is not written
Layout     tokens first in memory, (B, N, H, d), or heads first, (B, H, N, d)
Offsets    of a matrix and of its rows are int64; inside of a tile they are int32
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-3e38)  # stands in for finite numbers that times LOG2E are infinite


@triton.jit
def place(length, B, H: tl.constexpr, BLOCK: tl.constexpr):
    """Return this program's first row, head, sample of the primal and sample of the probes."""
    blocks = tl.cdiv(length, BLOCK)
    first = (tl.program_id(0) % blocks) * BLOCK
    head = tl.program_id(0) // blocks
    sample = head // H
    return first, head % H, (sample % B).to(tl.int64), sample.to(tl.int64)


@triton.jit
def columns_end(
    first, M, BI: tl.constexpr, BJ: tl.constexpr, CAUSAL: tl.constexpr, BLOCKS: tl.constexpr
):
    """Return where the columns end that the BI rows from the first attend to."""
    if BLOCKS > 0:
        end = BLOCKS * BJ
    elif CAUSAL:
        end = tl.minimum(M, first + BI)
    else:
        end = M
    return end


@triton.jit
def rows_range(first, N, PART, BI: tl.constexpr, CAUSAL: tl.constexpr):
    """Return begin and end of those of a part's PART rows that attend to columns from the first."""
    begin = tl.program_id(1) * PART
    end = tl.minimum(N, begin + PART)
    if CAUSAL:
        begin = tl.maximum(begin, first // BI * BI)
    return begin, end


@triton.jit
def part_of(sample, M, H: tl.constexpr, BJ: tl.constexpr):
    """Return the sample's place in results (parts·R·B, …)."""
    samples = tl.num_programs(0) // (tl.cdiv(M, BJ) * H)
    return sample + tl.program_id(1) * samples


@triton.jit
def matrix(sample, h, length, H: tl.constexpr, D: tl.constexpr, TOKENS_FIRST: tl.constexpr):
    """Return the offset of the (length, D) matrix of a head."""
    if TOKENS_FIRST:
        offset = (sample * length * H + h) * D
    else:
        offset = (sample * H + h) * length * D
    return offset


@triton.jit
def tile(
    first, length, H: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr,
    TOKENS_FIRST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return where rows from the first are in a matrix: their offset, and per block of columns the
    offsets in it and what is inside of the matrix.
    """
    STRIDE: tl.constexpr = H * D if TOKENS_FIRST else D
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, D1)[None, :]
    inside = first + row < length
    offsets = (row * STRIDE + column,)
    valid = (inside & (column < D),)
    if D2 > 0:
        more = D1 + tl.arange(0, D2)[None, :]
        offsets = (offsets[0], row * STRIDE + more)
        valid = (valid[0], inside & (more < D))
    return tl.cast(first, tl.int64) * STRIDE, offsets, valid


@triton.jit
def read(ptr, at, where, UP: tl.constexpr):
    """Return rows of the matrix that begins at `at`."""
    start, offsets, valid = where
    ptr += at + start
    rows = (_load(ptr + offsets[0], valid[0], UP),)
    if len(offsets) == 2:
        rows = (rows[0], _load(ptr + offsets[1], valid[1], UP))
    return rows


@triton.jit
def _load(ptr, valid, UP: tl.constexpr):
    x = tl.load(ptr, mask=valid, other=0.0)
    if UP is not None:
        x = x.to(UP)
    return x


@triton.jit
def write(ptr, at, where, rows):
    """Write rows of the matrix that begins at `at`."""
    start, offsets, valid = where
    ptr += at + start
    tl.store(ptr + offsets[0], rows[0], mask=valid[0])
    if len(offsets) == 2:
        tl.store(ptr + offsets[1], rows[1], mask=valid[1])


@triton.jit
def zeros(BLOCK: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, CT: tl.constexpr):
    """Return rows of zeros."""
    rows = (tl.zeros([BLOCK, D1], CT),)
    if D2 > 0:
        rows = (rows[0], tl.zeros([BLOCK, D2], CT))
    return rows


@triton.jit
def scaled(rows, by):
    """Return rows times a number, or times one number per row."""
    product = (rows[0] * by,)
    if len(rows) == 2:
        product = (product[0], rows[1] * by)
    return product


@triton.jit
def inner(a, b, CT: tl.constexpr):
    """Return the sums over columns of a∘b, one per row."""
    total = tl.sum(a[0].to(CT) * b[0].to(CT), 1)
    if len(a) == 2:
        total += tl.sum(a[1].to(CT) * b[1].to(CT), 1)
    return total


@triton.jit
def dot_t(a, b, add, CT: tl.constexpr, IP: tl.constexpr):
    """Return a bᵀ (rows of a, rows of b), plus `add` unless that is None."""
    s = tl.dot(a[0], tl.trans(b[0]), add, input_precision=IP, out_dtype=CT)
    if len(a) == 2:
        s = tl.dot(a[1], tl.trans(b[1]), s, input_precision=IP, out_dtype=CT)
    return s


@triton.jit
def add_dot(total, p, rows, CT: tl.constexpr, IP: tl.constexpr):
    """Return total + p rows, with p rounded to the type of rows."""
    p = p.to(rows[0].dtype)
    result = (tl.dot(p, rows[0], total[0], input_precision=IP, out_dtype=CT),)
    if len(rows) == 2:
        second = tl.dot(p, rows[1], total[1], input_precision=IP, out_dtype=CT)
        result = (result[0], second)
    return result


@triton.jit
def added(a, b):
    """Return rows a + b."""
    total = (a[0] + b[0],)
    if len(a) == 2:
        total = (total[0], a[1] + b[1])
    return total


@triton.jit
def numbers(ptr, head, row, length, OUTSIDE: tl.constexpr):
    """Return the numbers that the rows of a head have in a (…, length) array."""
    return tl.load(ptr + head * length + row, mask=row < length, other=OUTSIDE)


@triton.jit
def scores(
    a, b, i, j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE: tl.constexpr, MASK: tl.constexpr,
    CAUSAL: tl.constexpr, EVEN: tl.constexpr, CT: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """Return S / ln 2, S = α a bᵀ + mask - c, at rows i and columns j, both given in 2D.

    Columns from M on are -∞, unless EVEN says that there are none.
    """
    s = dot_t(a, b, None, CT, IP) * (SCALE * LOG2E)
    inside = j < M
    if MASK > 0:
        entry = tl.load(
            mask_ptr + i.to(tl.int64) * mask_i + j.to(tl.int64) * mask_j,
            mask=inside & (i < N),
            other=0,
        )
        if MASK == 1:
            s = tl.where(entry != 0, s, -float("inf"))
        else:
            bias = entry.to(CT)
            s += tl.where(bias == -float("inf"), bias, tl.maximum(bias * LOG2E, LOWEST))
            s -= tl.maximum(tl.load(c_ptr + i, mask=i < N, other=0) * LOG2E, LOWEST)
    if CAUSAL:
        s = tl.where(j <= i, s, -float("inf"))
    if not EVEN:
        s = tl.where(inside, s, -float("inf"))
    return s


@triton.jit
def probabilities(
    a, b, lse, i, j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE: tl.constexpr, MASK: tl.constexpr,
    CAUSAL: tl.constexpr, EVEN: tl.constexpr, CT: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """Return P = exp(S - L) with L in 2D, or Pᵀ if a is of k, b of q and lse, i and j lie so."""
    s = scores(
        a, b, i, j, N, M, mask_ptr, c_ptr, mask_i, mask_j, SCALE, MASK, CAUSAL, EVEN, CT, IP
    )  # fmt: skip
    return tl.exp2(s - lse * LOG2E)


@triton.jit
def scores_dot(a, b, a_dot, b_dot, SCALE: tl.constexpr, CT: tl.constexpr, IP: tl.constexpr):
    """Return α (a_dot bᵀ + a b_dotᵀ), where a tangent may be None, or zeros if both are."""
    if a_dot is None and b_dot is None:
        s_dot = tl.zeros([a[0].shape[0], b[0].shape[0]], CT)
    else:
        s_dot = None
        if a_dot is not None:
            s_dot = dot_t(a_dot, b, None, CT, IP)
        if b_dot is not None:
            s_dot = dot_t(a, b_dot, s_dot, CT, IP)
        s_dot *= SCALE
    return s_dot
