"""The dots of Triton's intermediate code, on lines as it prints them."""

from latentgeo.kernels.aot.products import asked

FIRST = (
    "      %s = tt.dot %x, %s_3, %cst : tensor<128x32xbf16, #ttg.dot_op<{opIdx = 0, parent = #mma,"
    " kWidth = 2}>> * tensor<32x64xbf16, #ttg.dot_op<{opIdx = 1, parent = #mma, kWidth = 2}>>"
    " -> tensor<128x64xf32, #mma> loc(#loc7)"
)
SINGLE = (
    "    %s = tt.dot %a, %b, %c, inputPrecision = tf32 : tensor<16x8xf32, #ttg.dot_op<{opIdx = 0,"
    " parent = #mma, kWidth = 1}>> * tensor<8x32xf32, #ttg.dot_op<{opIdx = 1, parent = #mma,"
    " kWidth = 1}>> -> tensor<16x32xf32, #mma> loc(#loc9)"
)
GROUP = (
    "      %s_4 = ttng.warp_group_dot %x, %s, %cst {isAsync = true} : !ttg.memdesc<64x16xf16,"
    " #shared, #smem> * !ttg.memdesc<16x32xf16, #shared3, #smem, mutable> -> tensor<64x32xf32,"
    " #mma> loc(#loc1)"
)
MIXED = (
    "      %r = ttng.warp_group_dot %p, %x, %arg {isAsync = true} : tensor<64x32xbf16, #ttg.dot_op<"
    "{opIdx = 0, parent = #mma, kWidth = 2}>> * !ttg.memdesc<32x16xbf16, #shared, #smem, mutable>"
    " -> tensor<64x16xf32, #mma> loc(#loc2)"
)
WAIT = (
    "      %w:3 = ttng.warp_group_dot_wait %s_4, %x, %s {pendings = 0 : i32} : tensor<64x32xf32,"
    " #mma>, !ttg.memdesc<64x16xf16, #shared, #smem>, !ttg.memdesc<16x32xf16, #shared3, #smem>"
)


def test_each_dot_counts_once():
    assert asked(FIRST) == 128 * 32 * 64
    assert asked(SINGLE) == 16 * 8 * 32
    assert asked(GROUP) == 64 * 16 * 32
    assert asked(MIXED) == 64 * 32 * 16


def test_dots_add_up_and_waits_are_none():
    lines = [FIRST, "    %m = arith.mulf %a, %b : tensor<64x64xf32, #mma>", GROUP, WAIT]
    assert asked("\n".join(lines)) == 128 * 32 * 64 + 64 * 16 * 32
    assert asked(WAIT) == 0
