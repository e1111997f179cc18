"""What the operators are held to: ratios to peers that are measured in the same run, and limits.

G1  forward           as fast as FlashAttention at d = 40, 80 and 160, 0.9 times at 64 and 128
G2  forward-jvp       2 times jvp_flash_attention, at most 0.60 ms on an A100; never behind math
G3  reverse-reverse   5 times math and 100 times less memory; at most 3.0 ms on an A100, and 60 MB
G4  double-backward   1.25 times flash-hob's Triton kernels, which do not install as a package
G5  jvp-backward      1.5 times math, and 18 times less memory
G6  a training step   is measured by bench-step
G7  reverse-reverse   of a norm or gate, 4, 6 and 2.5 times eager PyTorch

Times are those of the kernels (`Row.seconds`); a limit in ms is for an A100, and easier beyond it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from latentgeo.kernels.bench.peers import FLASH, JVP_FLASH, OURS
from latentgeo.kernels.bench.rows import OK, Row

MATH: Final = "sdpa-math"
FLASH_HOB: Final = "flash-hob"
Rows = Mapping[tuple[str, str], Row]  # by case and contender


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A number that one case has to reach."""

    tag: str
    case: str
    peer: str | None = None  # who it is a ratio to; None is a number of our own
    what: str  # speed, memory (ratios, to be at least), ms or MB (to be at most)
    limit: float

    def measured(self, rows: Rows) -> float | str:
        """Return the number, or why there is none."""
        ours = rows.get((self.case, OURS))
        if ours is None or ours.status != OK:
            return "not run" if ours is None else ours.status
        read = READ[self.what]
        mine = read(ours)
        if self.peer is None:
            return "not measured" if mine is None else mine
        theirs = rows.get((self.case, self.peer))
        if theirs is None or theirs.status != OK:
            return f"{self.peer}: {'not run' if theirs is None else theirs.status}"
        other = read(theirs)
        return "not measured" if not mine or other is None else other / mine

    def line(self, rows: Rows) -> str:
        """Return the bar, what was measured and whether that is enough, as a line."""
        sign, enough = ("≤", operator.le) if self.peer is None else ("≥", operator.ge)
        found = self.measured(rows)
        unit = f" {self.what}" if self.peer is None else f" × {self.peer}"
        what = "" if self.peer is None else f"{self.what} "
        head = f"{self.tag}  {self.case:<54} {what}{sign} {self.limit:g}{unit}"
        if isinstance(found, str):
            return f"{head}: {found}"
        return f"{head}: {found:.3g}, {'met' if enough(found, self.limit) else 'NOT met'}"


def _milliseconds(row: Row) -> float | None:
    return None if row.seconds is None else row.seconds * 1e3


def _megabytes(row: Row) -> float | None:
    return None if row.peak_bytes is None else row.peak_bytes / 1e6


READ: Final[dict[str, Callable[[Row], float | None]]] = {
    "speed": _milliseconds,
    "ms": _milliseconds,
    "memory": _megabytes,
    "MB": _megabytes,
}


def _bars() -> Iterator[Bar]:
    flash = {(4096, 40): 1.0, (1024, 80): 1.0, (256, 160): 1.0, (4096, 64): 0.9, (4096, 128): 0.9}
    for (n, d), limit in flash.items():
        case = f"attention-{n}x{n}-d{d}-h8-b1-bf16-forward"
        yield Bar(tag="G1", case=case, peer=FLASH, what="speed", limit=limit)
    case = "attention-2048x2048-d64-h12-b2-fp16-forward-jvp"
    yield Bar(tag="G2", case=case, what="ms", limit=0.60)
    yield Bar(tag="G2", case=case, peer=JVP_FLASH, what="speed", limit=2)
    yield Bar(tag="G2", case=case, peer=MATH, what="speed", limit=27)
    case = "attention-32x32-d64-h12-b2-fp16-forward-jvp"
    yield Bar(tag="G2", case=case, peer=MATH, what="speed", limit=1)
    case = "attention-4096x4096-d40-h8-b1-bf16-reverse-reverse"
    yield Bar(tag="G3", case=case, what="ms", limit=3.0)
    yield Bar(tag="G3", case=case, peer=MATH, what="speed", limit=5)
    yield Bar(tag="G3", case=case, what="MB", limit=60)
    yield Bar(tag="G3", case=case, peer=MATH, what="memory", limit=100)
    for d in (64, 128):
        case = f"attention-4096x4096-d{d}-h8-b1-bf16-double-backward"
        yield Bar(tag="G4", case=case, peer=FLASH_HOB, what="speed", limit=1.25)
    case = "attention-4096x4096-d128-h24-b1-bf16-jvp-backward"
    yield Bar(tag="G5", case=case, peer=MATH, what="speed", limit=1.5)
    yield Bar(tag="G5", case=case, peer=MATH, what="memory", limit=18)
    eager = {"group-norm-silu-320x64x64": 4, "layer-norm-4096x320": 6, "geglu-4096x2560": 2.5}
    for name, limit in eager.items():
        case = f"{name}-b1-bf16-reverse-reverse"
        yield Bar(tag="G7", case=case, peer="eager", what="speed", limit=limit)


BARS: Final = tuple(_bars())
