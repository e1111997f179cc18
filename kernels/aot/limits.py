"""What a multiprocessor has, how many programs fit on one, and how fast its tensor cores can be.

Quarter  a multiprocessor has four, each with a scheduler, a tensor core and its own warps
Source   NVIDIA's CUDA C++ programming guide, compute capabilities; the whitepapers of A100 and H100
         for the rate of tensor cores: 1024 and 2048 multiply-adds in 16 bits per clock cycle; of
         GA102 and AD102 for sm_86 and sm_89: 512
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WARP = 32  # threads
KB: Final = 1024
REGISTERS = 65536  # of a multiprocessor, of 32 bits
REGISTER_UNIT = 256  # registers that a warp is given at a time
RESERVED = 1 * KB  # bytes of shared memory of every program that the system takes
MUFU_CYCLES = 8  # a quarter has four units for exp2, 1 / x and the like
COLLAPSED = 32  # registers that ptxas reports when it has given up and put all else on the stack
STACK = 512  # bytes of it that are no longer a few values beside the registers


@dataclass(frozen=True, kw_only=True)
class Arch:
    """What a GPU of one compute capability has."""

    capability: tuple[int, int]
    shared: int  # bytes of a multiprocessor
    # Bytes of operands that a quarter multiplies per cycle: 256 multiply-adds of 2 bytes are 512.
    # Of sm_90 with the instructions of warp groups (HGMMA), which those of warps do not reach.
    # Of sm_86 and sm_89 as of their workstation cards; GeForce adds up float32 at half the rate.
    tensor_bytes: int | None
    warps: int = 64  # that a multiprocessor holds
    programs: int = 32

    @property
    def number(self) -> int:
        """The compute capability as compilers write it: 80 is 8.0."""
        major, minor = self.capability
        return 10 * major + minor

    @property
    def most_shared(self) -> int:
        """The bytes of shared memory that one program can ask for."""
        return self.shared - RESERVED


ARCHS: Final[dict[str, Arch]] = {
    "sm_80": Arch(capability=(8, 0), shared=164 * KB, tensor_bytes=512),
    "sm_86": Arch(capability=(8, 6), shared=100 * KB, tensor_bytes=256, warps=48, programs=16),
    "sm_89": Arch(capability=(8, 9), shared=100 * KB, tensor_bytes=256, warps=48, programs=24),
    "sm_90": Arch(capability=(9, 0), shared=228 * KB, tensor_bytes=1024),
    # its tensor cores are set to work by single threads, and products have no size in the code
    "sm_100": Arch(capability=(10, 0), shared=228 * KB, tensor_bytes=None),
}


def programs_per_multiprocessor(arch: Arch, registers: int, warps: int, shared: int) -> int:
    """Return how many programs run at a time, of `registers` per thread and `shared` bytes."""
    per_warp = -(-WARP * registers // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = REGISTERS // (per_warp * warps)
    by_shared = arch.shared // (shared + RESERVED)
    return min(arch.warps // warps, by_registers, by_shared, arch.programs)


def collapsed(registers: int, stack: int) -> bool:
    """Whether the register allocator gave up, which looks like a kernel that needs few."""
    return registers <= COLLAPSED and stack >= STACK


def tensor_share(arch: Arch, macs: int, bytes_each: int, instructions: int, mufu: int) -> float:
    """Return the share of its tensor cores' rate that a loop can reach: the static ceiling.

    Of one pass of one warp: `macs` multiply-adds of operands of so many bytes, all instructions,
    one of which is issued per cycle, and those among them for special functions. A quarter can
    overlap the three with those of other warps, so the longest decides. Raises ValueError for an
    architecture whose rate does not follow from its code.
    """
    if arch.tensor_bytes is None:
        raise ValueError(
            f"tensor_share: got {arch.number}, wanted an architecture whose rate its code tells"
        )
    cycles = macs * bytes_each / arch.tensor_bytes
    return cycles / max(cycles, instructions, MUFU_CYCLES * mufu)
