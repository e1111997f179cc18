"""The report as text: attention kernel by kernel, the other operators summed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from latentgeo.kernels.aot.rows import Row, flaws

ATTENTION = (
    f"{'':<4}{'':<6}{'kernel':<13}{'tile':>8}{'w,s':>5}{'reg':>5}{'spill':>7}{'smem':>6}{'CTA':>5}"
    f"{'mma':>6}{'×':>6}{'U':>4}{'cp':>4}{'mufu':>6}{'loop':>6}{'ceiling':>9}"
    f"{'i/e':>6}{'ld':>8}{'st':>8}  mask"
)
OTHERS = (
    f"{'kernel':<32}{'forms':>6}{'warps':>7}{'reg':>9}{'spill':>7}{'smem':>6}{'CTA':>7}{'mufu':>9}"
    f"{'i/e':>11}{'ld':>8}{'st':>8}"
)
LEGEND = """\
w,s warps and stages; reg registers per thread; spill LDL + STL instructions; smem kB of shared
memory; CTA programs per multiprocessor; mma tensor-core instructions; × multiply-adds made over
those asked for; U products of N × M × d; cp asynchronous copies; mufu special functions; loop
instructions of the main loop; ceiling the share of the tensor cores' rate that can be useful;
i/e instructions of a thread per number, of attention's main loop per score; ld, st bits that a
thread loads from and stores to global memory at a time, the least and the most"""


def table(rows: Sequence[Row]) -> str:
    """Return the whole report."""
    sections = []
    for (arch, dtype), group in groupby(rows, key=lambda row: (row.arch, row.dtype)):
        found = list(group)
        attention = [row for row in found if row.family == "attention"]
        others = [row for row in found if row.family != "attention"]
        if attention:
            sections.append([f"{arch} {dtype}: attention", ATTENTION, *_attention(attention)])
        if others:
            sections.append([f"{arch} {dtype}: other operators", OTHERS, *_others(others)])
    sections.append([LEGEND])
    sections.append(summary(rows))
    return "\n\n".join("\n".join(lines) for lines in sections)


def summary(rows: Sequence[Row]) -> list[str]:
    """Return lines that say which kernels have flaws, and how many have none."""
    flawed = [(row.key, ", ".join(flaws(row))) for row in rows if flaws(row)]
    sound = len(rows) - len(flawed)
    first = f"{sound} of {len(rows)} kernels neither spill nor compute anything twice"
    return [first, *(f"  {key}: {words}" for key, words in flawed)]


def _attention(rows: Sequence[Row]) -> list[str]:
    lines = []
    last = None
    for row in rows:
        place = row.head_dim, row.case
        lines.append(attention_line(row, named=place != last))
        last = place
    return lines


def attention_line(row: Row, named: bool = True) -> str:
    """Return a line of the table; `named` is whether it says which head dim and case it is of."""
    d, case = (row.head_dim, row.case) if named else ("", "")
    tile = "×".join(map(str, row.tile or ()))
    spilled = "COLLAPSED" if row.collapsed else row.loads + row.stores
    return (
        f"{d:<4}{case:<6}{row.kernel:<13}{tile:>8}{f'{row.warps},{row.stages}':>5}"
        f"{row.registers:>5}{spilled:>7}{row.shared / 1024:>6.0f}{row.programs:>5}{row.tensor:>6}"
        f"{_number(row.replication, 6, 2)}{_number(row.products, 4, 0)}{row.copies:>4}"
        f"{row.mufu:>6}{row.loop:>6}{_number(row.ceiling, 9, 2)}"
        f"{_number(row.per_element, 6, 1)}{_range(row.read_bits):>8}{_range(row.write_bits):>8}"
        f"  {row.mask or 'none'}"
    )


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def _others(rows: Sequence[Row]) -> list[str]:
    """Return a line for each kernel, with the range over its forms."""
    names = list(dict.fromkeys(row.name for row in rows))
    return [_other_line([row for row in rows if row.name == name]) for name in names]


def _other_line(forms: Sequence[Row]) -> str:
    spilled = max(row.loads + row.stores for row in forms)
    shared = max(row.shared for row in forms) / 1024
    return (
        f"{forms[0].name:<32}{len(forms):>6}{_range([row.warps for row in forms]):>7}"
        f"{_range([row.registers for row in forms]):>9}{spilled:>7}{shared:>6.0f}"
        f"{_range([row.programs for row in forms]):>7}{_range([row.mufu for row in forms]):>9}"
        f"{_each(forms):>11}{_range(_all(row.read_bits for row in forms)):>8}"
        f"{_range(_all(row.write_bits for row in forms)):>8}"
    )


def _each(forms: Sequence[Row]) -> str:
    found = [round(row.per_element) for row in forms if row.per_element is not None]
    return _range(found) if found else "–"


def _all(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return the least and the most of kernels, leaving out those that move nothing."""
    return [bits for pair in pairs for bits in pair if bits] or [0]


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least}–{most}"
