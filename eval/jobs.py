"""A long measurement as numbered jobs: rows on disk, shared out under torchrun, resumed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from latentgeo.core.device import barrier, progress, ranks
from latentgeo.eval.rows import Row, append_rows, open_rows, read_rows

Measure = Callable[[Sequence[int]], Sequence[Row]]  # a row for each of these jobs


def by_job(row: Mapping[str, object]) -> int:
    """Return the number of a row's job."""
    return int(str(row["job"]))


def measured_jobs(
    folder: Path,
    settings: Mapping[str, object],
    count: int,
    group: int,
    measure: Measure,
    label: str = "",
) -> list[Row]:
    """Return the rows of jobs 0 … count - 1, `group` at a time, going on from those in `folder`.

    Under torchrun, rank r of W takes every W-th remaining job; every rank returns all rows. A job
    must not depend on how many there are, so that a larger count goes on from a smaller one. Raises
    ValueError where the folder holds rows of other settings.
    """
    finished = open_rows(folder, dict(settings), by_job)
    here = ranks()
    todo = [job for job in range(count) if job not in finished]
    mine, done = todo[here.rank :: here.world], count - len(todo)
    with progress(total=count, initial=done, label=label, unit="job") as bar:
        for start in range(0, len(mine), group):
            part = mine[start : start + group]
            append_rows(
                folder, [{"job": i, **row} for i, row in zip(part, measure(part), strict=True)]
            )
            bar.update(len(part))
    barrier()
    finished = read_rows(folder, by_job)
    return [finished[job] for job in range(count)]
