"""What the rows of Isometric Diffusion's metrics say: each model by itself, and against the first.

Ratios are paired by seed: job i of two models had the same noise, so that a resample of the
bootstrap draws whole jobs. Where one is not 1 with its interval, the models differ.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.separability import Tables
from latentgeo.eval.metrics.spectra import Found, spectra_of
from latentgeo.eval.runs.results import RATIO, Result, result
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval, ratio_interval

Values = NDArray[np.float64]
PPL, MRTL = "PPL", "mRTL"
STEP = "LPIPS between neighbours"
CROPPED = 100  # path lengths from which the 1st and 99th percentile say something
DOMINANT = 0.1  # share of a path length that rounding may make up


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one model, by kind; a kind that was not measured is empty."""

    pairs: Sequence[Row] = ()
    walks: Sequence[Row] = ()
    spectra: Sequence[Row] = ()
    tables: Mapping[str, Tables] = field(default_factory=dict)  # by kernel


def isometry_results(
    found: Mapping[str, Rows], cmd: EvalIsometry, settings: Mapping[str, Mapping[str, object]]
) -> list[Result]:
    """Return the results of every model, and of all but the first as ratios to the first."""
    results = []
    first_name, first = next(iter(found.items()))
    for model, rows in found.items():
        other = None if rows is first else first
        for metric, (own, ratio) in estimates(rows, other, cmd).items():
            results.append(result("Iso", metric, model, own, cmd.seed, settings[model]))
            if ratio is not None:
                name = f"{metric}{RATIO}{first_name}"
                results.append(result("Iso", name, model, ratio, cmd.seed, settings[model]))
    return results


def estimates(rows: Rows, first: Rows | None, cmd: EvalIsometry) -> Found:
    """Return every number of one model by metric, with its ratio to `first` if that is given."""
    found: Found = {}
    if rows.pairs:
        found |= _lengths(rows.pairs, None if first is None else first.pairs, cmd)
    if rows.walks:
        found |= _walks(rows.walks, None if first is None else first.walks)
    others = {} if first is None else spectra_of(first.spectra)
    for cell, spectra in spectra_of(rows.spectra).items():
        found |= spectra.estimates(cell, others.get(cell), cmd.metrics)
    for kernel, tables in rows.tables.items():
        ratio = None if first is None else tables.ratio(first.tables[kernel])
        found[f"LS, {kernel} kernel"] = tables.estimate(), ratio
        found |= _attributes(tables, kernel)
    return found


def curves(
    results: Sequence[Result], prefix: str
) -> dict[str, list[tuple[float, float, float, float]]]:
    """Return (place, value, low, high) by model of the results `<prefix><place>`.

    Iso Fig. 5   RTL over t
    Iso Fig. 6   LPIPS between neighbours along a walk
    """
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for one in results:
        place = one.metric.removeprefix(prefix)
        if place != one.metric and place.isdecimal():
            found.setdefault(one.model, []).append((float(place), *one.span))
    return found


def is_headline(one: Result) -> bool:
    """Whether a result is for the table: no point of a curve, no attribute by itself."""
    return " at t = " not in one.metric and not one.metric.startswith((f"{STEP}, step", "H(Y|X)"))


def _lengths(rows: Sequence[Row], first: Sequence[Row] | None, cmd: EvalIsometry) -> Found:
    """PPL, and the share of it that rounding makes up, with a warning where that is much."""
    own = _column(rows, "length")
    ratio = None if first is None else ratio_interval(own, _column(first, "length"))
    pairs = [row for row in rows if "rounding" in row]
    share = ratio_interval(_column(pairs, "rounding"), _column(pairs, "length"))
    if share.value > DOMINANT:
        warnings.warn(
            f"PPL: rounding makes up {share.value:.0%} of it at ε = {cmd.ppl_epsilon:g} in "
            f"{cmd.dtype}; take a larger --ppl-epsilon or --dtype fp64",
            stacklevel=2,
        )
    power = "1/ε²" if cmd.ppl_scale == "squared" else "1/ε"
    name = f"{PPL}, {power}, ε = {cmd.ppl_epsilon:g}"
    found: Found = {name: (mean_interval(own), ratio), f"{PPL}, share of rounding": (share, None)}
    if len(own) < CROPPED:
        return found
    cut, ratio = _cropped(own), None
    if first is not None:
        others = _column(first, "length")
        both = cut & _cropped(others)
        ratio = ratio_interval(own[both], others[both])
    return found | {f"{name}, cropped": (mean_interval(own[cut]), ratio)}


def _cropped(lengths: Values) -> NDArray[np.bool_]:
    """Return which lengths lie within their 1st to 99th percentile, as StyleGAN's code takes them.

    A few pairs are on either side of a jump, and are most of the plain mean.
    """
    low, high = np.percentile(lengths, [1, 99])
    return (low <= lengths) & (lengths <= high)


def _walks(rows: Sequence[Row], first: Sequence[Row] | None) -> Found:
    """MRTL, RTL(t), LPIPS between neighbours and how it varies along the walk."""
    times = _column(rows, "times")[0].astype(np.int64).tolist()

    def columns(rows: Sequence[Row]) -> dict[str, Values]:
        rtl, steps = _column(rows, "rtl"), _column(rows, "lpips")
        return {
            MRTL: rtl.mean(1),
            STEP: steps.mean(1),
            "standard deviation of LPIPS along the walk": steps.std(1),
            **{f"RTL at t = {t}": rtl[:, i] for i, t in enumerate(times)},
            **{f"{STEP}, step {i + 1}": steps[:, i] for i in range(steps.shape[1])},
        }

    own, others = columns(rows), columns(first) if first else {}
    return {
        name: (mean_interval(values), ratio_interval(values, others[name]) if others else None)
        for name, values in own.items()
    }


def _attributes(tables: Tables, kernel: str) -> Found:
    """H(Y|X) of every attribute, and how much of H(Y) it is in all."""
    known, every = tables.entropies(), tables.unknown()
    n = len(tables)
    found = {f"H(Y|X), {kernel} kernel: {name}": value for name, value in known.items()}
    found[f"share of H(Y) left open, {kernel} kernel"] = sum(known.values()) / max(
        sum(every.values()), np.finfo(np.float64).tiny
    )
    return {
        name: (Estimate(value=value, low=-np.inf, high=np.inf, n=n), None)
        for name, value in found.items()
    }


def _column(rows: Sequence[Row], key: str) -> Values:
    """Return what rows have under a key, (N,) numbers or (N, K) lists of them."""
    return np.array([row[key] for row in rows], dtype=np.float64)
