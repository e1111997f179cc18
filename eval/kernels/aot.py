"""`bench-aot`: the resource report of the kernels, shown, written and compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from latentgeo.core.run.cli import environment
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.eval.kernels.settings import BenchAot
from latentgeo.kernels.aot import golden_files
from latentgeo.kernels.aot.process import start
from latentgeo.kernels.aot.rows import Failure, Request, Row
from latentgeo.kernels.aot.table import table


def bench_aot(cmd: BenchAot) -> None:
    """Compile what is asked for, print the table, write the JSON file `out`, and compare.

    Raises `RuntimeError` where kernels do not compile, and where their numbers are not those of the
    golden file of this version of Triton; `write_golden` replaces them there instead.
    """
    request = Request(
        arch=cmd.arch,
        dtype=cmd.dtype,
        head_dims=cmd.head_dims,
        kernels=tuple(word for words in cmd.kernels for word in words.split(",")),
        masks=cmd.masked,
        jobs=cmd.jobs,
        dump=None if cmd.dump is None else str(cmd.dump.resolve()),
    )
    report = start(request)
    bar = progress(report.outcomes, total=report.kernels, label="compiling", unit="kernel")
    outcomes = list(bar)
    rows = [outcome for outcome in outcomes if isinstance(outcome, Row)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    print(table(rows))
    for failure in failures:
        print(f"{failure.key}: {failure.message}")
    if cmd.to:
        print(f"wrote {write_report(cmd.to, rows, failures)}")
    if cmd.dump:
        print(f"ttir, ttgir, llir, ptx and sass of {len(rows)} kernels are in {cmd.dump}")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(outcomes)} kernels do not compile")
    if cmd.write_golden:
        print(f"wrote {replace_golden(report.triton, request, rows)}")
    else:
        compare(report.triton, request, rows)


def write_report(out: Path, rows: Sequence[Row], failures: Sequence[Failure]) -> Path:
    """Write what was measured, and on what it depends, and return the path."""
    content = {
        "environment": environment(),
        "kernels": [asdict(row) for row in rows],
        "failures": [asdict(failure) for failure in failures],
    }
    return atomic_write(out, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def replace_golden(version: str, request: Request, rows: Sequence[Row]) -> Path:
    """Put the rows into the golden file, in the place of those that the request covers."""
    file = golden_files.path(version)
    return atomic_write(
        file, golden_files.text(golden_files.updated(golden_files.read(file), request, rows))
    )


def compare(version: str, request: Request, rows: Sequence[Row]) -> None:
    """Print how the rows differ from the golden file, and raise `RuntimeError` if they do."""
    file = golden_files.path(version)
    numbers = golden_files.read(file)
    if numbers is None:
        print(f"there is no golden file for Triton {version}; --write-golden makes one")
        return
    if found := golden_files.differences(numbers, request, rows):
        print("\n".join(found))
        raise RuntimeError(
            f"not as in {file.name}: {len(found)} kernels; --write-golden takes them as they are"
        )
    unknown = sum(row.key not in numbers for row in rows)
    print(f"{len(rows) - unknown} kernels are as in {file.name}")
    if unknown:
        print(f"{unknown} kernels are not in {file.name}; --write-golden adds them")
