"""Consistency: Δh_t of an image beside the mean over images, and one Δh for all times.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5.3, App. L.1, Fig. 10.
"""

from collections.abc import Sequence

import numpy as np

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, function_of_means, mean_interval
from latentgeo.eval.semantic.looks import (
    SUCCESS,
    Values,
    column,
    estimates,
    lacking,
    looks_of,
    prefixed,
)
from latentgeo.eval.semantic.subject import Edit, Subject
from latentgeo.infer.semantic.editing import everywhere

LABELS = {"own": "Δh_t", "mean": "Δh_t^mean", "global": "Δh^global"}


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return looks at every image edited by each form of the shift.

    Asyrp Sec. 5.3b   Δh_t^mean and Δh^global in place of Δh_t
    """
    table = subject.mean_shift(one)
    after = {
        "own": subject.own(one, jobs),
        "mean": subject.read(subject.edited(one, jobs, direction=table)),
        "global": subject.read(subject.edited(one, jobs, direction=everywhere(table))),
    }
    looks = {name: subject.looks(one, jobs, reading) for name, reading in after.items()}
    return [{name: each[i] for name, each in looks.items()} for i in range(len(jobs))]


def share(part: Values, whole: Values) -> Values:
    """Return part / whole (...), NaN where the whole is 0."""
    found: Values = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return found


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return each form's numbers, and its success and scores beside those of Δh_t, by name."""
    found: dict[str, Estimate] = {}
    own = looks_of(rows, "own")
    some = lacking(own)
    for name, label in LABELS.items():
        looks = looks_of(rows, name)
        found |= prefixed(label, estimates(looks))
        if name == "own":
            continue
        more = column(looks, "score") - column(own, "score")
        found[f"{label}: log odds of the wanted, minus Δh_t's"] = mean_interval(more)
        has, had = column(looks, "has")[some], column(own, "has")[some]
        if had.any():
            found[f"{label}: {SUCCESS}, of Δh_t's"] = function_of_means(share, has, had)
            found[f"{label}: {SUCCESS}, minus Δh_t's"] = mean_interval(has - had)
    return found
