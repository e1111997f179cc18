"""Occupancy, the register collapse and the static ceiling, against figures worked out by hand."""

import pytest

from latentgeo.kernels.aot.limits import (
    ARCHS,
    KB,
    collapsed,
    programs_per_multiprocessor,
    tensor_share,
)

A100, H100 = ARCHS["sm_80"], ARCHS["sm_90"]


@pytest.mark.parametrize(
    ("registers", "warps", "shared", "programs"),
    [
        (96, 4, 12 * KB, 5),  # 96 · 32 · 4 = 12288 of 65536
        (168, 4, 24 * KB, 3),  # 21504
        (160, 4, 24 * KB, 3),  # 20480
        (161, 4, 24 * KB, 3),  # 161 · 32 = 5152 are given as 5376 per warp
        (170, 4, 24 * KB, 2),  # 5440 as 5632 per warp, 22528 in all
        (255, 8, 41 * KB, 1),
        (16, 4, 0, 16),  # 64 warps
        (16, 1, 0, 32),  # programs
        (64, 4, 40 * KB, 4),  # 41 of 164 kB, one of them the system's
        (64, 4, 40 * KB + 512, 3),
        (64, 4, 163 * KB, 1),
        (64, 4, 164 * KB, 0),
    ],
)
def test_programs_of_an_a100(registers, warps, shared, programs):
    assert programs_per_multiprocessor(A100, registers, warps, shared) == programs


def test_a_hopper_multiprocessor_has_more_shared_memory_alone():
    assert programs_per_multiprocessor(H100, 64, 4, 56 * KB) == 4
    assert programs_per_multiprocessor(A100, 64, 4, 56 * KB) == 2
    assert programs_per_multiprocessor(H100, 255, 8, 0) == 1
    assert (A100.most_shared, H100.most_shared) == (163 * KB, 227 * KB)


def test_a_collapse_is_few_registers_and_a_large_stack():
    assert collapsed(32, 5 * KB)
    assert not collapsed(32, 0)  # a small kernel
    assert not collapsed(32, 24)  # a small one that spills
    assert not collapsed(255, 5 * KB)


def test_the_ceiling_is_the_tensor_cores_share_of_the_longest():
    """Forward at d = 40: 24 products of 8 cycles in a loop of 267 instructions, 18 of them slow."""
    macs = 24 * 16 * 8 * 16
    assert tensor_share(A100, macs, 2, 267, 18) == pytest.approx(24 * 8 / 267)
    assert tensor_share(A100, macs, 2, 191, 18) == 1
    assert tensor_share(A100, macs, 2, 100, 48) == pytest.approx(0.5)  # MUFU takes 8 cycles
    assert tensor_share(H100, macs, 2, 267, 18) == pytest.approx(24 * 4 / 267)


def test_float32_is_half_as_fast():
    """An m16n8k8 product of tf32 takes the 8 cycles of an m16n8k16 one in 16 bits."""
    assert tensor_share(A100, 10 * 16 * 8 * 8, 4, 160, 0) == pytest.approx(0.5)


def test_there_is_no_ceiling_where_the_code_does_not_say():
    with pytest.raises(ValueError, match="wanted an architecture whose rate"):
        tensor_share(ARCHS["sm_100"], 1, 2, 1, 1)


@pytest.mark.parametrize(("name", "number"), [("sm_80", 80), ("sm_90", 90), ("sm_100", 100)])
def test_numbers_are_those_of_the_names(name, number):
    assert ARCHS[name].number == number


@pytest.mark.parametrize(("arch", "most"), [("sm_86", 16), ("sm_89", 24)])
def test_a_consumers_multiprocessor_holds_fewer_warps_and_programs(arch, most):
    gpu = ARCHS[arch]
    assert gpu.number == int(arch[3:]) and gpu.most_shared == 99 * KB
    assert programs_per_multiprocessor(gpu, 16, 4, 0) == 12  # 48 warps
    assert programs_per_multiprocessor(gpu, 16, 1, 0) == most
    assert programs_per_multiprocessor(gpu, 64, 4, 49 * KB) == 2
