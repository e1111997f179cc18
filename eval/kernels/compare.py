"""`bench-kernels --compare A B`: what became faster, and what slower, between two runs.

Times are those of the kernels (`Row.seconds`). Only the operators' own times count as slower: the
peers' are printed too, since a peer that moved says that the machine did.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.text import read_text
from latentgeo.eval.kernels.stored import Key, Stored, stored
from latentgeo.kernels.bench.peers import OURS
from latentgeo.kernels.bench.rows import OK, Row

SAME = ("device", "seconds", "graphs", "kernels")  # settings without which times do not compare


@dataclass(frozen=True, kw_only=True)
class Change:
    """A contender on a case, before and after."""

    before: Row
    after: Row

    @property
    def ratio(self) -> float | None:
        """The time after over that before, if both are known."""
        before, after = self.before.seconds, self.after.seconds
        return after / before if before and after else None

    def beyond(self, threshold: float) -> bool:
        """Whether it is a difference: of the time, or of whether there is a result."""
        if self.before.status != self.after.status:
            return True
        return self.ratio is not None and abs(self.ratio - 1) > threshold

    @property
    def slower(self) -> bool:
        """Whether it lost by the difference."""
        if self.before.status != self.after.status:
            return self.before.status == OK
        return self.ratio is not None and self.ratio > 1

    def line(self) -> str:
        """Return it as a line."""
        word = "slower" if self.slower else "faster"
        name = f"{self.after.case} {self.after.contender}"
        if self.ratio is None:
            return f"{word}  {name}: {self.before.status} → {_said(self.after)}"
        before, after = self.before.seconds or 0.0, self.after.seconds or 0.0
        times = f"{before * 1e3:.4f} → {after * 1e3:.4f} ms"
        return f"{word}  {name}: {times}, {self.ratio - 1:+.1%}"


def compare(before: str, after: str, threshold: float) -> None:
    """Print what differs by more than a share of the time before, the slowest first.

    Raises `ValueError` for runs that do not compare, and `RuntimeError` if an operator is slower.
    """
    one, other = stored(before), stored(after)
    _check(one, other)
    print(f"before: {one}\nafter:  {other}")
    both = changes(one.rows, other.rows)
    found = [change for change in both if change.beyond(threshold)]
    for change in sorted(found, key=lambda change: -(change.ratio or 0)):
        print(change.line())
    print(f"{len(found)} of {len(both)} results differ by more than {threshold:.0%}")
    for name, missing in (("after", one.rows.keys() - other.rows.keys()),
                          ("before", other.rows.keys() - one.rows.keys())):  # fmt: skip
        if missing:
            print(f"{len(missing)} results are not in {name}, such as {' '.join(min(missing))}")
    if slower := [one for one in found if one.slower and one.after.contender == OURS]:
        raise RuntimeError(
            f"{len(slower)} of {len(both)} results of {OURS} are slower by more than "
            f"{threshold:.0%}, or have failed"
        )


def changes(before: Mapping[Key, Row], after: Mapping[Key, Row]) -> list[Change]:
    """Return what is in both, in the order of the first."""
    return [Change(before=before[key], after=after[key]) for key in before if key in after]


def _check(one: Stored, other: Stored) -> None:
    if not one.rows.keys() & other.rows.keys():
        raise ValueError(f"compare: {one.name} and {other.name} have no case in common")
    wrong = list(_different(_settings(one.folder), _settings(other.folder)))
    if wrong:
        raise ValueError(f"compare: the runs differ in {'; '.join(wrong)}")


def _settings(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(read_text(folder / "settings.json"))
    return found


def _different(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[str]:
    for name in SAME:
        if one.get(name) != other.get(name):
            yield f"{name}, {one.get(name)} and {other.get(name)}"


def _said(row: Row) -> str:
    return f"{row.status}: {row.note}" if row.note else row.status
