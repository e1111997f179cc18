"""Linearity: do attributes change in proportion to the scale of a shift, of either sign?

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5.3 and Fig. 7. Of every image a line is fitted to
its scores at the scales, by least squares; R² is what of their variance lies on it.
"""

from collections.abc import Sequence

import numpy as np

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, function_of_means, mean_interval
from latentgeo.eval.semantic.looks import Values
from latentgeo.eval.semantic.subject import Edit, Subject

SCORES = {"score": "log odds of the wanted", "seen": "judge's score along ΔT"}


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return the scores of every image at every scale."""
    scales = sorted(subject.scales)
    looks = [subject.looks(one, jobs, subject.scaled(one, jobs, scale)) for scale in scales]
    return [
        {"scales": scales, **{name: [each[i][name] for each in looks] for name in SCORES}}
        for i in range(len(jobs))
    ]


def r_squared(x: Values, y: Values) -> Values:
    """Return R² (...) of the line nearest to y (..., S) at x (S,); 0 where y does not vary.

    Asyrp Sec. 5.3b   linearly scaling a Δh reflects the amount of change, as
                     R² = (Σ (x-x̄)(y-ȳ))² / (Σ (x-x̄)² Σ (y-ȳ)²)
    """
    a, b = x - x.mean(), y - y.mean(-1, keepdims=True)
    total = (a**2).sum() * (b**2).sum(-1)
    found: Values = np.divide(
        (a * b).sum(-1) ** 2, total, out=np.zeros_like(total), where=total > 0
    )
    return found


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return R² of every image's scores and of the mean ones, and the means, by name."""
    scales = np.array(rows[0]["scales"], dtype=np.float64)
    found = {}
    for name, label in SCORES.items():
        y = np.array([row[name] for row in rows], dtype=np.float64)  # (N, S)
        found[f"{label}: R², per image"] = mean_interval(r_squared(scales, y))
        found[f"{label}: R², of the means"] = function_of_means(
            lambda *means: r_squared(scales, np.stack(means, axis=-1)), *y.T
        )
        for scale, values in zip(scales, y.T, strict=True):
            found[f"{label}, c = {scale:g}"] = mean_interval(values)
    return found
