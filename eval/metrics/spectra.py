"""MCN and VoR from the singular values of the encoder's Jacobian, with intervals over images.

A spectrum is whole where the Jacobian was formed. Of a larger one there are Ritz values
(core/bidiagonal.py): MCN is then a lower bound, which grows with the steps, and comes with the
residual of the smallest value; VoR is of the largest few values, which have converged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentgeo.core.conditioning import condition_number, variance_of_values
from latentgeo.eval.runs.statistics import (
    Estimate,
    exponential,
    jackknife,
    mean_interval,
    ratio_interval,
)

Values = NDArray[np.float64]
Found = dict[str, tuple[Estimate, Estimate | None]]  # by metric: its own, its ratio to the first's
TOP = 8  # values of VoR where the spectrum is not whole
GROUPS = 10  # of images that the jackknife leaves out, one at a time
ZERO = 1e-12  # of the largest σ: a smaller one is zero up to rounding


@dataclass(frozen=True, kw_only=True)
class Spectra:
    """Singular values of N images at T times, in falling order."""

    times: tuple[int, ...]
    values: Values  # (N, T, k)
    residual: Values | None  # (N, T), of the smallest; None where the spectrum is whole

    def estimates(self, cell: str, first: "Spectra | None", metrics: Sequence[str]) -> Found:
        """Return MCN and VoR of h averaged over cells so wide, and their ratios to `first`.

        Over all times, and at each by itself.
        """
        name = "h" if cell == "1" else f"h in cells of {cell}"
        found = self._estimates(name, first, metrics)
        for i, t in enumerate(self.times):
            other = None if first is None else first.at(i)
            found |= self.at(i)._estimates(f"{name} at t = {t}", other, metrics)
        return found

    def at(self, i: int) -> "Spectra":
        """Return those at the i-th time."""
        residual = None if self.residual is None else self.residual[:, [i]]
        return Spectra(times=self.times[i : i + 1], values=self.values[:, [i]], residual=residual)

    def _estimates(self, name: str, first: "Spectra | None", metrics: Sequence[str]) -> Found:
        found: Found = {}
        if "mcn" in metrics:
            found |= self._conditioning(name, first)
        if "vor" in metrics:
            found |= self._variances(name, first)
        return found

    def conditions(self) -> Values:
        """Return the condition number of each image, its mean over times (N,).

        Iso Eq. 10   MCN = E[σ_M / σ_m]
        """
        flat = torch.from_numpy(self.values).flatten(0, 1)
        return condition_number(flat).numpy().reshape(self.values.shape[:2]).mean(1)

    def _conditioning(self, name: str, first: "Spectra | None") -> Found:
        own = self.conditions()
        ratio = None if first is None else ratio_interval(own, first.conditions())
        if self.residual is None:
            return {f"MCN of {name}": (mean_interval(own), ratio)}
        share = (self.residual / self.values[:, :, -1]).mean(1)
        return {
            f"MCN of {name}, at least": (mean_interval(own), ratio),
            f"residual of the smallest σ of {name}, over σ": (mean_interval(share), None),
        }

    def _variances(self, name: str, first: "Spectra | None") -> Found:
        some, other = self.largest(), None if first is None else first.largest()
        if self.residual is not None:
            name = f"{name}, {some.shape[2]} largest σ"
        logs = None if other is None else np.log(other)
        return {
            f"VoR of {name}": variance_estimates(some, other),
            f"VoR of ln σ of {name}": variance_estimates(np.log(some), logs),
        }

    def largest(self) -> Values:
        """Return all values of a whole spectrum, else those that have converged (N, T, k)."""
        return self.values if self.residual is None else self.values[:, :, :TOP]


def variance_estimates(values: Values, first: Values | None) -> tuple[Estimate, Estimate | None]:
    """Return VoR of values (N, T, k), and its ratio to that of `first`, by the jackknife.

    Iso Eq. 11   VoR = Σ_i Var[σ_i], at each t by itself, then averaged over t
    """
    n = len(values)
    own = jackknife(lambda kept: _variance(values[kept]), n, min(GROUPS, n))
    if first is None:
        return own, None

    def log_ratio(kept: NDArray[np.int64]) -> float:
        return float(np.log(_variance(values[kept]) / _variance(first[kept])))

    return own, exponential(jackknife(log_ratio, n, min(GROUPS, n)))


def _variance(values: Values) -> float:
    """Return the mean over times of VoR, of values (N, T, k)."""
    at_times = torch.from_numpy(values).unbind(1)
    return float(np.mean([variance_of_values(one).item() for one in at_times]))


def spectra_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Spectra]:
    """Return the spectra in rows by the width of h's cells, ZERO of the largest at least."""
    cells = rows[0]["spectra"] if rows else {}
    return {cell: _of_cell([row["spectra"][cell] for row in rows]) for cell in cells}


def _of_cell(rows: Sequence[Mapping[str, Mapping[str, list[float]]]]) -> Spectra:
    values = np.array([[one["values"] for one in row.values()] for row in rows])
    residual = None
    if "residual" in next(iter(rows[0].values())):
        residual = np.array([[one["residual"][-1] for one in row.values()] for row in rows])
    times = tuple(int(t) for t in rows[0])
    return Spectra(
        times=times, values=np.maximum(values, ZERO * values[:, :, :1]), residual=residual
    )
