"""`bench-kernels --report`: a roofline, and the time of each operator per order, on one page.

Of measured rows where there are any, of the kernels' own times. Without, times are what the counts
of `kernels/bench/work.py` allow at an A100's rates: then every point lies on the roof, and the page
says so. Only the operators here are shown; the peers are in the rows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from latentgeo.core.run.files import atomic_write
from latentgeo.eval.kernels.stored import Key
from latentgeo.eval.page.report import page, paragraph, plot, section, table
from latentgeo.infer.pictures.plots import COLOURS, INK, figure, legend, svg
from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.peers import OURS
from latentgeo.kernels.bench.roofline import Roofline
from latentgeo.kernels.bench.rows import OK, Row

A100: Final = Roofline(  # by its data sheet, of 80 GB; float32 as TF32
    device="A100 (data sheet)",
    flop_per_second={"bf16": 312e12, "fp16": 312e12, "fp32": 156e12},
    bytes_per_second=2.039e12,
)
SHOWN: Final = "-b1-bf16-"  # what the default list is narrowed to on the page
KIND: Final = re.compile(r"[a-z-]+?(?=-\d)")


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A case and its time, measured or by counts."""

    case: Case
    seconds: float

    @property
    def kind(self) -> str:
        """The operator, without its size."""
        found = KIND.match(self.case.name)
        return found.group() if found else self.case.name


def write_report(
    path: Path, cases: Sequence[Case], rows: Mapping[Key, Row], machine: Roofline | None
) -> Path:
    """Write the page of these cases and return it; without rows of them it is of counts."""
    found = measured(cases, rows)
    shown = machine if found and machine is not None else A100
    timed = found or counted(cases, shown)
    return atomic_write(path, document(timed, shown, bool(found)))


def narrowed(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of one image in bfloat16, or all where there are none."""
    return [case for case in cases if SHOWN in case.name] or list(cases)


def measured(cases: Sequence[Case], rows: Mapping[Key, Row]) -> list[Timed]:
    """Return the cases that ours has a time for."""
    found = []
    for case in cases:
        row = rows.get((case.name, OURS))
        if row is not None and row.status == OK and row.seconds is not None:
            found.append(Timed(case=case, seconds=row.seconds))
    return found


def counted(cases: Sequence[Case], machine: Roofline) -> list[Timed]:
    """Return the least time of each case at a machine's rates."""
    return [Timed(case=case, seconds=floor(case, machine)) for case in cases]


def floor(case: Case, machine: Roofline) -> float:
    """Return the seconds that a case takes at least."""
    peak = machine.flop_per_second.get(case.dtype_name)
    return case.work.floor(peak, machine.bytes_per_second)


def document(timed: Sequence[Timed], machine: Roofline, real: bool) -> str:
    """Return the page."""
    said = (
        f"Measured on {machine.device}: the kernels' own times."
        if real
        else f"No kernel has been run for this page. Times are counts of FLOP and bytes at the "
        f"rates of {machine.device}: the least that a run takes, so every point is on the roof."
    )
    bars = plot(times_plot(comparable(timed), real), "time per operator", BARS)
    parts = [section("Time per operator", bars)]
    if any(one.case.work.flop for one in timed):
        drawn = plot(roofline_plot(timed, machine), "roofline", str(machine))
        parts.insert(0, section("Roofline", paragraph(ROOF, soft=True), drawn))
    parts.append(section("Cases", _table(timed, machine)))
    return page("Kernels: roofline and times", paragraph(said), *parts)


ROOF: Final = (
    "Attention alone has matrix products; norms, gates, reductions and the chart are bound by what "
    "they move, and have their share of it in the table."
)


BARS: Final = (
    "The times of an operator's sizes are added up: of those that are timed in every order which "
    "most of them have, so that the bars are of the same sizes."
)


def comparable(timed: Sequence[Timed]) -> list[Timed]:
    """Return, of each operator, the orders that most sizes have, and the sizes that have them."""
    kept: list[Timed] = []
    for kind in dict.fromkeys(one.kind for one in timed):
        here = [one for one in timed if one.kind == kind]
        sizes: dict[str, set[str]] = {}
        for one in here:
            sizes.setdefault(one.case.operator.name, set()).add(one.case.order)
        has = Counter(order for orders in sizes.values() for order in orders)
        orders = {order for order, count in has.items() if 2 * count > len(sizes)}
        kept += [
            one
            for one in here
            if one.case.order in orders and orders <= sizes[one.case.operator.name]
        ]
    return kept or list(timed)


def roofline_plot(timed: Sequence[Timed], machine: Roofline) -> str:
    """Return TFLOP/s over FLOP per byte, a point per case with products, under the roofs."""
    found = [one for one in timed if one.case.work.flop]
    orders = list(dict.fromkeys(one.case.order for one in found))
    drawing, axes = figure(3.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    intensities = [one.case.work.flop / one.case.work.bytes for one in found]
    low, high = min(intensities) / 3, max(intensities) * 3
    for dtype in dict.fromkeys(one.case.dtype_name for one in found):
        peak = machine.flop_per_second[dtype]
        corner = min(max(peak / machine.bytes_per_second, low), high)
        roof = [min(peak, machine.bytes_per_second * x) / 1e12 for x in (low, corner, high)]
        axes.plot([low, corner, high], roof, color=INK, linewidth=1)
        axes.annotate(dtype, (high, roof[-1]), color=INK, fontsize=8, ha="right", va="bottom")
    for order, colour, mark in zip(orders, COLOURS * 2, "ooooos", strict=False):
        here = [one for one in found if one.case.order == order]
        x = [one.case.work.flop / one.case.work.bytes for one in here]
        y = [one.case.work.flop / one.seconds / 1e12 for one in here]
        axes.plot(x, y, mark, color=colour, label=order, markersize=5)
    axes.set_xlabel("FLOP per byte")
    axes.set_ylabel("TFLOP/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    legend(drawing)
    return svg(drawing)


def times_plot(timed: Sequence[Timed], real: bool) -> str:
    """Return a bar per order, of the operators' times added up over their sizes, as SVG."""
    orders = list(dict.fromkeys(one.case.order for one in timed))
    kinds = list(dict.fromkeys(one.kind for one in timed))
    drawing, axes = figure(0.5 + 0.42 * len(orders))
    ends = dict.fromkeys(orders, 0.0)
    for number, kind in enumerate(kinds):
        colour, hatch = COLOURS[number % len(COLOURS)], ("", "///", "...")[number // len(COLOURS)]
        widths = [
            math.fsum(o.seconds for o in timed if (o.kind, o.case.order) == (kind, order)) * 1e3
            for order in orders
        ]
        axes.barh(range(len(orders)), widths, left=list(ends.values()), color=colour, label=kind,
                  hatch=hatch, edgecolor=INK, linewidth=0.3)  # fmt: skip
        ends = {order: ends[order] + width for order, width in zip(orders, widths, strict=True)}
    axes.set_yticks(range(len(orders)), orders)
    axes.set_ylim(len(orders) - 0.5, -0.5)
    axes.set_xlabel("ms, measured" if real else "ms at least, by counts")
    legend(drawing)
    return svg(drawing)


def _table(timed: Sequence[Timed], machine: Roofline) -> str:
    head = ("case", "ms", "TFLOP/s", "GB/s", "of the roof")
    rows = []
    for one in timed:
        flop, size = one.case.work
        rate = f"{flop / one.seconds / 1e12:.1f}" if flop else "–"
        share = floor(one.case, machine) / one.seconds
        rows.append(
            (one.case.name, f"{one.seconds * 1e3:.4f}", rate, f"{size / one.seconds / 1e9:.0f}",
             f"{share:.1%}")
        )  # fmt: skip
    return table(head, rows)
