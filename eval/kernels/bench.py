"""`bench-kernels`: the operators of latentgeo.kernels on a GPU, beside their peers.

`kernels/bench` has what is run and how it is timed. Here its worker is watched: a kernel that takes
the process down, or hangs, is a row that says so, and another worker goes on with what is left.
Rows are printed, and on disk, as they come.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from latentgeo.core.run.cli import version
from latentgeo.eval.kernels.compare import compare
from latentgeo.eval.kernels.report import narrowed, write_report
from latentgeo.eval.kernels.settings import SHORT, BenchKernels
from latentgeo.eval.kernels.sources import sources
from latentgeo.eval.kernels.stored import Key, keep, machine_of, of_sources, place
from latentgeo.eval.kernels.table import HEAD, bar_lines, heading, listed, row_line
from latentgeo.eval.runs.isolated import Isolated, Stalled
from latentgeo.eval.runs.rows import open_rows, read_rows
from latentgeo.kernels.bench.cases import Asked, Case, chosen
from latentgeo.kernels.bench.peers import OURS, contenders
from latentgeo.kernels.bench.roofline import Roofline
from latentgeo.kernels.bench.rows import FAILED, Row, from_json
from latentgeo.kernels.bench.worker import LOST

NO_GPU = "bench-kernels needs a CUDA GPU and this machine shows none: nothing was measured"
WORKER = (sys.executable, "-m", "latentgeo.kernels.bench.worker")


def bench_kernels(command: BenchKernels, device: str = "cuda") -> None:
    """Run the command: list the cases, or run them and print what they gave, or compare two runs.

    Raises `ValueError` for a pattern that no case matches and for a folder of other settings'
    rows, and `RuntimeError` if no worker can start, or what is compared is slower.
    """
    if command.compare:
        one, other = command.compare
        compare(one, other, command.threshold)
        return
    cases = [one.case for one in asked(command)] or chosen(command.only)
    if command.list:
        print("\n".join(map(listed, cases)))
    elif device == "cuda" and not torch.cuda.is_available():
        print(NO_GPU)
        report(command, cases, *before(command))
    else:
        rows, machine = measure(command, cases, device)
        report(command, cases, rows, machine)


def before(command: BenchKernels) -> tuple[dict[Key, Row], Roofline | None]:
    """Return the rows that the folder has of these kernels, on whatever machine, and its rates."""
    if command.out is None or command.report is None or not command.out.is_dir():
        return {}, None
    rows = of_sources(read_rows(command.out, place), sources())
    return rows, machine_of(command.out)


def report(
    command: BenchKernels, cases: Sequence[Case], rows: Mapping[Key, Row], machine: Roofline | None
) -> None:
    """Write the page, if one is asked for."""
    if command.report is not None:
        shown = cases if command.only or command.op else narrowed(cases)
        print(f"wrote {write_report(command.report, shown, rows, machine)}")


def asked(command: BenchKernels) -> list[Asked]:
    """Return the cases of `--op`, in every dtype and order that is asked for."""
    if command.op is None:
        return []
    orders = dict.fromkeys(SHORT.get(order, order) for order in command.order)
    return [
        Asked(
            op=command.op,
            shape=command.shape,
            order=order,
            dtype=dtype,
            mask=command.masked,
            layout=command.layout,
        )
        for dtype in dict.fromkeys(command.dtype)
        for order in orders
    ]


def measure(
    command: BenchKernels, cases: Sequence[Case], device: str
) -> tuple[dict[Key, Row], Roofline | None]:
    """Run the cases that have no row yet, print the bars, and return the rows and the machine."""
    machine = None if command.out is None else machine_of(command.out)
    rows = finished(command, device)
    todo = [(case.name, name) for case in cases for name in contenders(case)]
    todo = [key for key in todo if key not in rows]
    if rows:
        print(f"{len(rows)} rows are there already; those that FAILED are not tried again")
    places, shown = {case.name: place for place, case in enumerate(cases)}, ""
    for found in results(command, todo, device):
        keep(command.out, found)
        if isinstance(found, Roofline):
            machine = found
            print(f"{found}\n{HEAD}", flush=True)
            continue
        rows[found.case, found.contender] = found
        if shown != found.case:
            place = places[found.case]
            print(f"[{place + 1} of {len(cases)}] {heading(cases[place], found)}")
        shown = found.case
        print(row_line(found, rows.get((found.case, OURS))), flush=True)
    if command.profile is None:
        print("", *bar_lines(rows), sep="\n")
    return rows, machine


def finished(command: BenchKernels, device: str) -> dict[Key, Row]:
    """Return the rows that the folder has of these kernels, measured on this machine so."""
    if command.out is None:
        return {}
    settings: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        **{package: version(package) for package in ("latentgeo", "torch", "triton")},
        "kernels": os.environ.get("LATENTGEO_KERNELS"),
        "seconds": command.seconds,
        "graphs": command.graphs,
    }
    return of_sources(open_rows(command.out, settings, place), sources())


def results(
    command: BenchKernels, todo: Sequence[Key], device: str, worker: Sequence[str] = WORKER
) -> Iterator[Row | Roofline]:
    """Yield the roofline, as every worker measures it, and a row for everything to do.

    Raises `RuntimeError` if a worker ends before it has begun.
    """
    left = list(todo)
    errors = None if command.out is None else command.out / "worker.log"
    while left:
        job = {
            "todo": left,
            "seconds": command.seconds,
            "graphs": command.graphs,
            "profile": None if command.profile is None else str(command.profile),
            "device": device,
            "asked": [asdict(one) for one in asked(command)],
        }
        with Isolated(worker, job, errors) as process:
            yield from _heard(process, left, command.timeout, errors)


def _heard(
    process: Isolated, left: list[Key], limit: float, errors: Path | None
) -> Iterator[Row | Roofline]:
    """Yield what a worker says, taking what it has finished, or died of, from what is `left`."""
    running: Key | None = None
    before = len(left)
    try:
        for message in process.messages(limit):
            if "at" in message:
                case, contender = message["at"]
                running = case, contender
            elif "row" in message:
                row = from_json(message["row"])
                left.remove((row.case, row.contender))
                yield row
            else:
                yield Roofline(**message["machine"])
        status = process.status()
        if not left or (status == LOST and len(left) < before):
            return
        reason = f"the process ended with status {status}"
    except Stalled as error:
        reason = str(error)
    if running is None:
        where = "what it said is above" if errors is None else f"what it said is in {errors}"
        raise RuntimeError(f"the worker of bench-kernels does not start: {reason}; {where}")
    blamed = running if running in left else left[0]
    left.remove(blamed)
    yield Row(case=blamed[0], contender=blamed[1], status=FAILED, note=reason)
