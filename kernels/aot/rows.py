"""What is to be reported, and what is reported of each compiled kernel.

Bars   `flaws` says in words what keeps a kernel from what all are meant to reach: no register
       spilled, no collapse of their allocation, nothing computed twice, room on the GPU
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from latentgeo.kernels.aot.limits import ARCHS

FAMILIES = ("attention", "norms", "gates", "reductions", "chart")
MASKS = ("none", "bool", "additive", "causal")  # of attention
DTYPES = ("bf16", "fp16", "fp32")
HEAD_DIMS = (40, 64, 72, 80, 96, 128, 160)  # in use; of Stable Diffusion 1.5: 40, 80 and 160
WIDEST = 256  # head dim that there are kernels for
REPLICATION: Final = 1.05  # above it, products are made more than once
MEASURED: Final = (  # what a compiler decides, and a golden file holds
    "warps", "stages", "registers", "stack", "local", "loads", "stores", "shared", "tensor",
    "copies", "mufu", "loop",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which kernels to compile, for what, and by how many processes."""

    arch: tuple[str, ...]
    dtype: tuple[str, ...] = DTYPES
    head_dims: tuple[int, ...] = HEAD_DIMS
    kernels: tuple[str, ...] = FAMILIES  # beginnings of "family.kernel"
    masks: tuple[str, ...] = MASKS[:1]
    jobs: int = 1
    dump: str | None = None  # folder for what the compiler made of each, step by step

    def __post_init__(self) -> None:
        """Refuse what there is no kernel for."""
        families = tuple(word.split(".")[0] for word in self.kernels)
        for name, got, known in (
            ("arch", self.arch, tuple(ARCHS)),
            ("dtype", self.dtype, DTYPES),
            ("kernels", families, FAMILIES),
            ("masked", self.masks, MASKS),
        ):
            if not got or not set(got) <= set(known):
                raise ValueError(f"{name} must be of {', '.join(known)}, got {', '.join(got)}")
        if not self.head_dims or not all(0 < d <= WIDEST for d in self.head_dims):
            raise ValueError(f"head_dims must be from 1 to {WIDEST}, got {list(self.head_dims)}")
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")

    def wants(self, name: str) -> bool:
        """Whether a kernel, as "family.kernel", is among those asked for."""
        return any(name.startswith(word) for word in self.kernels)

    def covers(self, key: str) -> bool:
        """Whether the row of this key is among those asked for."""
        arch, dtype, name, *rest = key.split()
        head_dim = next((int(word[2:]) for word in rest if word.startswith("d=")), None)
        mask = next((word for word in rest if word in MASKS), "none")
        return (
            arch in self.arch
            and dtype in self.dtype
            and self.wants(name)
            and (head_dim is None or (head_dim in self.head_dims and mask in self.masks))
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One compiled kernel. Instructions are those of one warp, bytes are of a program."""

    arch: str
    dtype: str
    family: str
    kernel: str
    head_dim: int | None
    case: str  # what called it
    variant: str  # which of the case's specializations it is
    tile: tuple[int, int] | None  # rows and columns of scores
    warps: int
    stages: int
    registers: int  # per thread
    stack: int  # bytes per thread
    local: int  # bytes per thread
    loads: int  # of spilled registers
    stores: int
    shared: int  # bytes
    programs: int  # on a multiprocessor at a time
    tensor: int  # instructions of the tensor cores
    replication: float | None  # their multiply-adds over those that the program asks for
    products: float | None  # N × M × d products made, as many multiply-adds as with d padded
    copies: int  # asynchronous ones, from global to shared memory
    mufu: int  # special functions
    loop: int  # instructions of the main loop
    ceiling: float | None  # share of the tensor cores' rate that can be useful
    collapsed: bool
    layout: str = ""  # of the operands in memory
    mask: str = ""  # of attention
    instructions: int = 0  # of the whole kernel
    per_element: float | None = None  # a thread's, for each number or score (`measure.py`)
    read_bits: tuple[int, int] = (0, 0)  # least and most of a load from global memory
    write_bits: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """The kernel and its family."""
        return f"{self.family}.{self.kernel}"

    @property
    def key(self) -> str:
        """What tells the row from all others."""
        return key(self.arch, self.dtype, self.name, self.head_dim, self.case, self.variant)

    @property
    def measured(self) -> tuple[int, ...]:
        """What the compiler decided, in the order of MEASURED."""
        return tuple(getattr(self, name) for name in MEASURED)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A kernel that does not compile."""

    key: str
    message: str


def key(arch: str, dtype: str, name: str, head_dim: int | None, case: str, variant: str) -> str:
    """Return what tells a compiled kernel from all others; `Request.covers` reads it."""
    size = "" if head_dim is None else f"d={head_dim}"
    return " ".join(word for word in (arch, dtype, name, size, case, variant) if word)


def request_of(entry: dict[str, Any]) -> Request:
    """Return the request that a JSON object holds."""
    return Request(**_with_tuples(entry))


def row_of(entry: dict[str, Any]) -> Row:
    """Return the row that a JSON object holds."""
    return Row(**_with_tuples(entry))


def _with_tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(x) if isinstance(x, list) else x for key, x in entry.items()}


def flaws(row: Row) -> list[str]:
    """Return what is wrong with a kernel, in words."""
    found = []
    if row.collapsed:
        found.append(f"collapsed: {row.registers} registers and {row.stack} bytes of stack")
    if spilled := row.loads + row.stores:
        found.append(f"{spilled} spill instructions")
    elif row.stack + row.local and not row.collapsed:
        found.append(f"{row.stack + row.local} bytes of local memory")
    if row.replication is not None and row.replication > REPLICATION:
        found.append(f"products made {row.replication:.2f} times")
    if row.shared > ARCHS[row.arch].most_shared:
        found.append(f"{row.shared} bytes of shared memory")
    elif not row.programs:
        found.append("does not fit a multiprocessor")
    return found
