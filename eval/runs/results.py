"""Numbers as they are reported: with paper, metric, model, interval, n, seed and settings."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from latentgeo.core.run.cli import environment
from latentgeo.core.run.files import atomic_write
from latentgeo.eval.runs.statistics import Estimate

RATIO = ", ratio to "  # in a metric's name, before the model that it is compared with


@dataclass(frozen=True, kw_only=True)
class Result:
    """One number of one model."""

    paper: str  # key of the paper that defines the metric, as in core/PAPERS.md; "" is our own
    metric: str
    model: str
    value: float
    interval: list[float] | None  # two-sided 95 %; None where there is none
    n: int  # observations behind the value
    seed: int
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The value and its interval as a table shows them."""
        if self.interval is None:
            return f"{self.value:.3g}"
        low, high = self.interval
        return f"{self.value:.3g} [{low:.3g}, {high:.3g}]"

    @property
    def span(self) -> tuple[float, float, float]:
        """The value and the ends of its interval for a plot; itself where there is none."""
        low, high = self.interval or (self.value, self.value)
        return self.value, low, high


def result(
    paper: str,
    metric: str,
    model: str,
    estimate: Estimate,
    seed: int,
    settings: Mapping[str, object],
) -> Result:
    """Return an estimate as a result; an interval that is not finite is none."""
    finite = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return Result(
        paper=paper,
        metric=metric,
        model=model,
        value=estimate.value,
        interval=estimate.interval if finite else None,
        n=estimate.n,
        seed=seed,
        settings=settings,
    )


def write_results(path: Path, results: Sequence[Result]) -> Path:
    """Write `{"environment": {...}, "results": [...]}`, atomically; NaN is refused."""
    machine = environment() | {"threads": str(torch.get_num_threads())}
    if torch.cuda.is_available():
        machine |= {"gpu": torch.cuda.get_device_name()}
    content = {"environment": machine, "results": [asdict(one) for one in results]}
    return atomic_write(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: a row per metric, a column per model, in order of appearance."""
    metrics = list(dict.fromkeys(one.metric for one in results))
    models = list(dict.fromkeys(one.model for one in results))
    cells = {(one.metric, one.model): one.text for one in results}
    rows = [[metric, *(cells.get((metric, model), "–") for model in models)] for metric in metrics]
    return ["metric", *models], rows


def text_table(results: Sequence[Result]) -> str:
    """Return the table for a terminal."""
    head, rows = table(results)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join(lines)
