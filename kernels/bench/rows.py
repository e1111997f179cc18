"""The result of a contender on a case."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from latentgeo.kernels.bench.cases import Case

OK: Final = "ok"
FAILED: Final = "FAILED"
OUT_OF_MEMORY: Final = "out of memory"
NOTE, TRACEBACK = 200, 3000  # characters that a row keeps, of a traceback its end


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a contender on a case; times are medians, in seconds."""

    case: str
    contender: str
    status: str
    note: str = ""  # why it failed, or what of it could not be measured
    traceback: str = ""
    error: float | None = None  # the largest of its results, relative
    error_of: str = ""  # the result that has it
    eager: float | None = None  # as called
    eager_quartiles: tuple[float, float] | None = None
    repeats: int = 0  # of the eager runs
    graph: float | None = None  # its kernels alone
    floor: float | None = None  # by the roofline of the same run
    flop: int = 0
    bytes: int = 0  # to be moved at least
    peak_bytes: int | None = None  # allocated beyond the operands

    @property
    def seconds(self) -> float | None:
        """The time that rates and ratios are of: the kernels', or where unknown the eager one."""
        return self.eager if self.graph is None else self.graph


class WrongResult(ArithmeticError):
    """A contender computed something else than the reference."""

    def __init__(self, which: str, error: float, bar: float) -> None:
        super().__init__(f"{which} is off by {error:.1e}, allowed is {bar:.0e}")
        self.which, self.error = which, error


def failure(case: Case, contender: str, error: BaseException, where: str = "") -> Row:
    """Return the row of a contender that raised."""
    wrong = error if isinstance(error, WrongResult) else None
    text = "" if wrong else "".join(traceback.format_exception(error))
    return Row(
        case=case.name,
        contender=contender,
        status=OUT_OF_MEMORY if isinstance(error, torch.OutOfMemoryError) else FAILED,
        note=where + one_line(error),
        traceback=text[-TRACEBACK:],
        error=wrong.error if wrong else None,
        error_of=wrong.which if wrong else "",
    )


def one_line(error: BaseException) -> str:
    """Return an exception as one line that is not long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= NOTE else f"{text[: NOTE - 1]}…"


def from_json(raw: Mapping[str, Any]) -> Row:
    """Return the row that was written as a JSON object of its fields."""
    quartiles = raw["eager_quartiles"]
    return Row(**{**raw, "eager_quartiles": quartiles if quartiles is None else tuple(quartiles)})
