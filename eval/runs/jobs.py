"""A long measurement as jobs: rows on disk, shared out under torchrun, resumed."""

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from latentgeo.core.run.progress import progress
from latentgeo.core.run.ranks import barrier, ranks
from latentgeo.eval.runs.rows import Row, append_rows, open_rows, read_rows

J = TypeVar("J", bound=Hashable)  # a job: what its row says of which it is
Measure = Callable[[Sequence[int]], Sequence[Row]]  # a row for each of these jobs


def by_job(row: Mapping[str, object]) -> int:
    """Return the number of a row's job."""
    return int(str(row["job"]))


def measured_rows(
    folder: Path,
    settings: Mapping[str, object],
    jobs: Sequence[J],
    key: Callable[[Row], J],
    group: int,
    measure: Callable[[Sequence[J]], Iterable[Row]],
    label: str = "",
    unit: str = "job",
) -> list[Row]:
    """Return the row of every job, `group` at a time, going on from those in `folder`.

    `key` says which job a row is of. Under torchrun, rank r of W takes every W-th remaining job;
    every rank returns all rows. Raises ValueError where the folder holds rows of other settings.
    """
    finished, here = open_rows(folder, dict(settings), key), ranks()
    mine = [job for job in jobs if job not in finished][here.rank :: here.world]
    done = len(jobs) - len(mine)
    try:
        with progress(total=len(jobs), initial=done, label=label, unit=unit) as bar:
            for start in range(0, len(mine), group):
                part = mine[start : start + group]
                append_rows(folder, measure(part))
                bar.update(len(part))
    except KeyboardInterrupt:
        kept = read_rows(folder, key)
        told = f"{sum(job in kept for job in jobs)} of {len(jobs)} {unit}s are kept in {folder}"
        if here.is_main:
            print(f"stopped: {told}; the same command goes on from there", file=sys.stderr)
        raise
    barrier()
    finished = read_rows(folder, key)
    return [finished[job] for job in jobs]


def measured_jobs(
    folder: Path,
    settings: Mapping[str, object],
    count: int,
    group: int,
    measure: Measure,
    label: str = "",
) -> list[Row]:
    """Return the rows of jobs 0 … count - 1, as `measured_rows`, each with its number.

    A job must not depend on how many there are, so that a larger count goes on from a smaller one.
    """

    def numbered(jobs: Sequence[int]) -> list[Row]:
        return [{"job": job, **row} for job, row in zip(jobs, measure(jobs), strict=True)]

    return measured_rows(folder, settings, range(count), by_job, group, numbered, label)
