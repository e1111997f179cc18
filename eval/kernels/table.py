"""What `bench-kernels` prints: cases, rows as they come, and how they meet the bars."""

from collections.abc import Mapping

from latentgeo.kernels.bench.bars import BARS
from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.peers import contenders
from latentgeo.kernels.bench.rows import OK, Row

HEAD = (
    f"  {'':<20}{'eager ms':>10}{'kernels ms':>12}{'× ours':>9}{'TFLOP/s':>9}{'GB/s':>8}"
    f"{'roofline':>10}{'peak MB':>10}{'error':>9}"
)


def listed(case: Case) -> str:
    """Return a case, its work and who runs it, as a line."""
    flop, size = case.work
    names = ", ".join(contenders(case))
    return f"{case.name:<64}{flop / 1e9:>8.1f} GFLOP {size / 1e6:>8.1f} MB  {names}"


def heading(case: Case, row: Row) -> str:
    """Return what is above the rows of a case."""
    flop, size = case.work
    floor = "" if row.floor is None else f", at least {row.floor * 1e3:.4f} ms"
    return f"{case.name}: {flop / 1e9:.1f} GFLOP, {size / 1e6:.1f} MB{floor}"


def row_line(row: Row, ours: Row | None) -> str:
    """Return a row as a line below `HEAD`; rates and ratios are of the kernels' time if known."""
    if row.status != OK or row.seconds is None:
        return f"  {row.contender:<20}{row.status}: {row.note}"
    seconds, mine = row.seconds, None if ours is None else ours.seconds
    cells = [
        _cell(row.eager, 1e3, 10, ".4f"),
        _cell(row.graph, 1e3, 12, ".4f"),
        _cell(seconds / mine if mine else None, 1, 9, ".2f"),
        _cell(row.flop / seconds or None, 1e-12, 9, ".1f"),
        _cell(row.bytes / seconds, 1e-9, 8, ".0f"),
        _cell(None if row.floor is None else row.floor / seconds, 1, 10, ".1%"),
        _cell(row.peak_bytes, 1e-6, 10, ".1f"),
        _cell(row.error, 1, 9, ".1e"),
    ]
    return f"  {row.contender:<20}{''.join(cells)}  {row.note}".rstrip()


def bar_lines(rows: Mapping[tuple[str, str], Row]) -> list[str]:
    """Return the bars of the cases that there are rows of."""
    cases = {case for case, _ in rows}
    return [bar.line(rows) for bar in BARS if bar.case in cases]


def _cell(value: float | None, scale: float, width: int, form: str) -> str:
    text = "–" if value is None else format(value * scale, form)
    return f"{text:>{width}}"
