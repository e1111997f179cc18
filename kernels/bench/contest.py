"""One case: each contender is checked, warmed up and weighed, and those that are right are timed.

Times are taken in turn. A contender that fails, is wrong or finds no memory is a row that says so,
and the others go on.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.check import BARS, Reference, draw, largest_error, references
from latentgeo.kernels.bench.marks import marked
from latentgeo.kernels.bench.measure import Call, Clock, Times, in_turn
from latentgeo.kernels.bench.operators import Function
from latentgeo.kernels.bench.orders import ORDERS, Data
from latentgeo.kernels.bench.roofline import Roofline
from latentgeo.kernels.bench.rows import OK, Row, WrongResult, failure, one_line


class DeviceLost(RuntimeError):
    """The device answers this process no more; what is left to do needs another process."""


@dataclass(kw_only=True)
class Ready:
    """A contender that is right."""

    run: Call
    error: float
    error_of: str
    peak_bytes: int | None
    eager: Times = field(default_factory=list)
    graph: Call | None = None
    replays: Times = field(default_factory=list)  # of the graph
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """How cases are run."""

    clock: Clock
    roofline: Roofline
    seconds: float  # of runs per contender, and as many of its graph
    graphs: bool = True
    announce: Callable[[str, str], None] = lambda case, name: None  # who is about to run

    def rows(self, case: Case, contenders: Mapping[str, Function]) -> Iterator[Row]:
        """Yield a row per contender: the failures as they happen, the others at the end.

        Raises `DeviceLost`, after the rows that there are, where nothing can run any more.
        """
        found: dict[str, Ready] = {}
        yield from self.prepared(case, contenders, found)
        self.clock.release()
        yield from self._timed(case, found, lambda one: one.run, lambda one: one.eager)
        lost = None
        try:
            self._capture(case, found)
            yield from self._timed(case, found, lambda one: one.graph, lambda one: one.replays)
        except DeviceLost as error:
            lost = error
        for name, one in found.items():
            yield self._row(case, name, one)
        if lost is not None:
            raise lost

    def prepared(
        self, case: Case, contenders: Mapping[str, Function], found: dict[str, Ready]
    ) -> Iterator[Row]:
        """Fill `found` with who is right, and yield the rows of the others."""
        self.clock.release()
        self.announce(case.name, next(iter(contenders)))
        try:
            data = draw(case, self.clock.device)
            wanted = references(case, data)
        except Exception as error:
            yield from (failure(case, name, error, "the reference: ") for name in contenders)
            self.check_alive()
            return
        for name, f in contenders.items():
            self.announce(case.name, name)
            try:
                found[name] = prepare(case, name, f, data, wanted, self.clock)
            except Exception as error:
                yield failure(case, name, error)
                self.check_alive()
            self.clock.release()

    def _capture(self, case: Case, found: Mapping[str, Ready]) -> None:
        """Record the kernels of each; one that cannot be recorded has its eager time only."""
        for name, one in found.items() if self.graphs else ():
            self.announce(case.name, name)
            try:
                one.graph = self.clock.captured(one.run)
            except Exception as error:
                one.note = f"no graph: {one_line(error)}"
                self.check_alive()

    def _timed(
        self,
        case: Case,
        found: dict[str, Ready],
        what: Callable[[Ready], Call | None],
        times: Callable[[Ready], Times],
    ) -> Iterator[Row]:
        """Time all in turn; who fails at it is no longer among `found`."""
        running = ""

        def announce(name: str) -> None:
            nonlocal running
            running = name
            self.announce(case.name, name)

        runs = {name: run for name, one in found.items() if (run := what(one)) is not None}
        while runs:
            try:
                for name, seconds in in_turn(runs, self.clock, self.seconds, announce).items():
                    times(found[name]).extend(seconds)
                return
            except Exception as error:
                yield failure(case, running, error)
                del runs[running], found[running]
                self.check_alive()

    def _row(self, case: Case, name: str, one: Ready) -> Row:
        peak = self.roofline.flop_per_second.get(case.dtype_name)
        low, _, high = statistics.quantiles(one.eager, n=4)
        return Row(
            case=case.name,
            contender=name,
            status=OK,
            note=one.note,
            error=one.error,
            error_of=one.error_of,
            eager=statistics.median(one.eager),
            eager_quartiles=(low, high),
            repeats=len(one.eager),
            graph=statistics.median(one.replays) if one.replays else None,
            floor=case.work.floor(peak, self.roofline.bytes_per_second),
            flop=case.work.flop,
            bytes=case.work.bytes,
            peak_bytes=one.peak_bytes,
        )

    def check_alive(self) -> None:
        """Raise `DeviceLost` if the device does not answer."""
        if not self.clock.alive():
            raise DeviceLost("the device no longer answers after an error of a kernel")


def prepare(
    case: Case, name: str, f: Function, data: Data, wanted: list[Reference], clock: Clock
) -> Ready:
    """Check a contender, which compiles it, and weigh it; raise `WrongResult` for one that is not.

    Raises whatever the contender does, too.
    """
    run = ORDERS[case.order](f, data)
    error, which = largest_error(run(), wanted)
    if not error <= BARS[case.dtype]:
        raise WrongResult(which, error, BARS[case.dtype])
    with marked(case.name, name, clock.device):
        peak = clock.peak(run)
    return Ready(run=run, error=error, error_of=which, peak_bytes=peak)
