"""The parsers of cuobjdump's text, on text written by hand."""

import pytest

from latentgeo.kernels.aot.machine_code import bits, code, macs, usage

USAGE = """
Resource usage:
 Common:
  GLOBAL:11 CONSTANT[4]:8
 Function hvp_keys:
  REG:170 STACK:24 SHARED:0 LOCAL:8 CONSTANT[0]:504 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def listing(*instructions):
    """Return what cuobjdump -sass prints: each instruction, and its words, over two lines."""
    lines = ["\tcode for sm_80", "\t\tFunction : kernel", '\t.headerflags\t@"EF_CUDA_SM80"']
    for place, text in enumerate(instructions):
        lines.append(f"        /*{16 * place:04x}*/    {text} ;    /* 0x00000a00ff017624 */")
        lines.append(f"{'':60}/* 0x000fe400078e00ff */")
    return "\n".join(lines)


MMA = "HMMA.16816.F32.BF16 R24, R20, R14, RZ"


def test_usage():
    found = usage(USAGE)
    assert (found.registers, found.stack, found.local) == (170, 24, 8)


def test_instructions_are_counted_by_their_names():
    found = code(
        listing(
            "S2R R4, SR_TID.X",
            "@!P1 LDL.64 R2, [R1+0x8]",
            "STL [R1], R9",
            "@P0 STL.128 [R1+0x10], R12",
            "LDGSTS.E.BYPASS.128 [R5], desc[UR4][R6.64]",
            "@!P4 LDGSTS.E.64 [R5], [R6.64]",
            "MUFU.EX2 R7, R7",
            "@P2 MUFU.RCP R8, R8",
            MMA,
            "HMMA.1688.F32.TF32 R24, R20, R14, R24",
            "LDSM.16.M88.4 R4, [R2]",  # no spill
            "EXIT",
            "BRA 0xc0",
            "NOP",
        )
    )
    assert (found.loads, found.stores, found.copies, found.mufu) == (1, 2, 2, 2)
    assert (found.tensor, found.macs) == (2, 2048 + 1024)
    assert (found.loop, found.loop_macs, found.loop_mufu) == (0, 0, 0)


def test_the_main_loop_is_the_shortest_with_all_products():
    """It lies in an outer loop, has a wait of its own, and there are products before it."""
    found = code(
        listing(
            MMA,  # 0x00
            "IMAD R1, R1, R2, R3",  # 0x10, of the outer loop
            MMA,  # 0x20, of the inner one
            "FADD R1, R1, R2",
            "MUFU.EX2 R1, R1",
            "@P0 BRA 0x40",  # 0x50: a wait, from 0x40 on
            MMA,
            "@!P3 BRA 0x20",  # 0x70
            "@P5 BRA 0x10",  # 0x80
            "EXIT",
            "BRA 0xa0",  # 0xa0: behind the end
        )
    )
    assert (found.loop, found.loop_macs, found.loop_mufu) == (6, 2 * 2048, 1)
    assert found.macs == 3 * 2048


def test_a_loop_may_end_in_a_call_and_go_on_behind_the_end():
    found = code(listing("@P5 BRA 0x50", MMA, "@P5 CALL.REL.NOINC 0x40", "BRA 0x10", "EXIT"))
    assert (found.loop, found.loop_macs) == (3, 2048)


def test_a_loop_without_products_is_not_the_one():
    found = code(listing("FADD R1, R1, R2", "@P0 BRA 0x0", "EXIT"))
    assert (found.loop, found.macs) == (0, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HMMA.16816.F32", 16 * 8 * 16),
        ("HMMA.1688.F32.TF32", 16 * 8 * 8),
        ("HGMMA.64x32x16.F32.BF16", 64 * 32 * 16 // 4),  # of four warps
        ("HGMMA.64x16x8.F32.TF32", 64 * 16 * 8 // 4),
        ("IMAD.WIDE", 0),
    ],
)
def test_multiply_adds_of_a_warp(name, expected):
    assert macs((0, name, "")) == expected


def test_products_of_single_threads_have_no_size():
    found = code(listing("UTCHMMA gdesc[UR8], gdesc[UR10], tmem[UR4]", "EXIT"))
    assert (found.tensor, found.macs) == (1, None)


@pytest.mark.parametrize("parse", [usage, code])
def test_other_text_is_refused(parse):
    with pytest.raises(RuntimeError, match=r"cuobjdump -\S+: got 'no such file', wanted"):
        parse("no such file")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LDG.E", 32),
        ("LDG.E.U16", 16),
        ("LDG.E.S8.CONSTANT", 8),
        ("LDG.E.64", 64),
        ("STG.E.128", 128),
        ("LDGSTS.E.BYPASS.128", 128),
        ("LDG.E.LTC128B.U8", 8),
    ],
)
def test_bits_of_a_load(name, expected):
    assert bits(name) == expected


def test_loads_and_stores_have_their_least_and_most_bits():
    found = code(
        listing(
            "LDG.E.U16 R4, [R2]",
            "@P0 LDG.E.64 R4, [R2]",
            "LDGSTS.E.128 [R5], [R6.64]",
            "LDS.U8 R4, [R2]",  # of shared memory
            "STG.E.128 [R2], R4",
            "EXIT",
            "NOP",
        )
    )
    assert (found.read_bits, found.write_bits, found.instructions) == ((16, 128), (128, 128), 6)
    assert code(listing("EXIT")).write_bits == (0, 0)
