"""The numbers of text edits as one table: a row per model and method, a column per number."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from latentgeo.eval.metrics.editing import DIRECTION, KEPT, LPIPS, OUTSIDE, WANTED
from latentgeo.eval.runs.results import Result, result
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate

SECONDS = "seconds an edit"
MEMORY = "MB held by one edit"
COLUMNS = {
    WANTED: "wanted",
    KEPT: "others kept",
    LPIPS: "LPIPS",
    OUTSIDE: "outside",
    DIRECTION: "direction",
    SECONDS: "seconds",
    MEMORY: "MB",
}


def cost_results(rows: Mapping[tuple[str, str], Sequence[Row]], seed: int) -> list[Result]:
    """Return the mean time of an edit and the memory of the first, by model and method.

    Without intervals: edits of one batch share their time.
    """
    found = []
    for (model, method), each in rows.items():
        seconds = float(np.mean([row["seconds"] for row in each]))
        held = next(float(str(row["bytes"])) for row in each if "bytes" in row) / 1e6
        for metric, value, n in ((SECONDS, seconds, len(each)), (MEMORY, held, 1)):
            one = Estimate(value=value, low=-math.inf, high=math.inf, n=n)
            found.append(result("", f"{method}: {metric}", model, one, seed, {}))
    return found


def edit_table(results: Sequence[Result]) -> str:
    """Return the table in Markdown, differences in rows of their own."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in results:
        method, _, metric = one.metric.partition(": ")
        metric, _, other = metric.partition(", minus ")
        label = f"{method}, minus {other}" if other else method
        rows.setdefault((one.model, label), {})[metric] = one.text
    lines = [["model", "method", *COLUMNS.values()], ["---"] * (2 + len(COLUMNS))]
    for (model, label), cells in rows.items():
        lines.append([model, label, *(cells.get(metric, "") for metric in COLUMNS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
