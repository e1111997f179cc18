"""What the walks say of the couplings: means, paired reductions, tests, and what the clouds are.

A pair of prompts is one observation: its noises are averaged first. Every coupling is compared with
the first, on the same pairs and noises: the reduction is 1 - mean / mean of the first, with a
paired bootstrap's interval, and Wilcoxon's signed-rank test is on the pairs' differences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from latentgeo.eval.runs.results import Result, result
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import (
    Estimate,
    function_of_means,
    mean_interval,
    proportion_interval,
    rank_correlation,
    ratio_interval,
    signed_rank_p,
)
from latentgeo.eval.transport.pairs import BINS

Values = NDArray[np.float64]
LPIPS = "mean consecutive LPIPS"
SPREAD = "standard deviation of LPIPS along the walk"
PIXELS = "mean consecutive pixel L2"
PATH = "W2 path length"
METRICS = (LPIPS, SPREAD, PIXELS, PATH)
LARGEST = "largest step, share of the walk's LPIPS"  # 0.1 of an even walk of 11 images, 1 of a jump
CLOUDS = {  # what rows call it -> what it is
    "padded": "padding, share of the tokens",
    "padding_cost": "padding, share of the index coupling's cost",
    "moved": "tokens that the optimal coupling takes off their index",
    "moved_real": "the same, of places that are text in both prompts",
}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The walks of P pairs by one model, noises averaged."""

    similarity: Values  # (P,)
    bins: NDArray[np.int64]  # (P,)
    values: Mapping[str, Mapping[str, Values]]  # coupling -> metric -> (P,)
    clouds: Mapping[str, Values]  # of CLOUDS and W2 -> (P,)

    @property
    def reference(self) -> str:
        """The coupling that the others are compared with."""
        return next(iter(self.values))

    def reduction(self, metric: str, coupling: str, chosen: NDArray[np.bool_]) -> Estimate:
        """Return 1 - mean / mean of the reference, over the chosen pairs (P,)."""
        own, first = self.values[coupling][metric], self.values[self.reference][metric]
        return function_of_means(lambda a, b: 1 - a / b, own[chosen], first[chosen])

    def reductions(self, coupling: str) -> Values:
        """Return each pair's own reduction (P,) of LPIPS; 0 where no image changes at all."""
        own, first = self.values[coupling][LPIPS], self.values[self.reference][LPIPS]
        return 1 - np.divide(own, first, out=np.ones_like(own), where=first > 0)


def compared(rows: Sequence[Row]) -> Compared:
    """Return rows as arrays over pairs, in the order of their numbers.

    OT Sec. 5   mean consecutive LPIPS of each walk; the poster's "Perceptual Path Length"
    """
    pairs = sorted({cast(int, row["pair"]) for row in rows})
    by_pair = [[row for row in rows if row["pair"] == pair] for pair in pairs]
    couplings = list(cast(Mapping[str, object], rows[0]["couplings"]))

    def over_pairs(key: str) -> Values:
        return np.array([group[0][key] for group in by_pair], dtype=np.float64)

    measured = {
        name: [[_summary(row, name) for row in group] for group in by_pair] for name in couplings
    }
    return Compared(
        similarity=over_pairs("similarity"),
        bins=over_pairs("bin").astype(np.int64),
        values={
            name: {
                metric: np.array([np.mean([one[metric] for one in group]) for group in groups])
                for metric in (*METRICS, LARGEST)
            }
            for name, groups in measured.items()
        },
        clouds={key: over_pairs(key) for key in [*CLOUDS, "w2", "w2_index", "w2_gaussian"]},
    )


def transport_results(
    model: str, walks: Compared, seed: int, settings: Mapping[str, object]
) -> list[Result]:
    """Return one model's numbers: of each coupling, of each against the first, of the clouds.

    OT Sec. 5b   the reduction of LPIPS, and p of the signed-rank test
    OT Sec. 5c   the reduction by level of similarity, and its rank correlation with it
    """
    found = {
        (name, metric): mean_interval(values[metric])
        for name, values in walks.values.items()
        for metric in (*METRICS, LARGEST)
    }
    for name in list(walks.values)[1:]:
        found |= {(name, metric): one for metric, one in _against_first(walks, name).items()}
    rows = [
        result("OT", metric, f"{model}: {name}", one, seed, settings)
        for (name, metric), one in found.items()
    ]
    return rows + [
        result("", metric, model, one, seed, settings) for metric, one in _clouds(walks).items()
    ]


def _against_first(walks: Compared, name: str) -> dict[str, Estimate]:
    """Reductions of every metric, their tests, LPIPS by level of similarity and its trend."""
    first, n = walks.reference, len(walks.similarity)
    every = np.ones(n, dtype=np.bool_)
    found: dict[str, Estimate] = {}
    for metric in METRICS:
        found[f"{metric}, reduction from {first}"] = walks.reduction(metric, name, every)
    for metric in METRICS:
        p = signed_rank_p(walks.values[name][metric], walks.values[first][metric])
        found[f"{metric}, Wilcoxon's p against {first}"] = Estimate(
            value=p, low=-np.inf, high=np.inf, n=n
        )
    less = walks.values[name][LPIPS] < walks.values[first][LPIPS]
    found[f"pairs with less LPIPS than {first}"] = proportion_interval(int(less.sum()), n)
    for level in sorted(set(walks.bins.tolist())):
        label = f"{LPIPS}, reduction from {first}, similarity {level + 1} of {BINS}"
        found[label] = walks.reduction(LPIPS, name, walks.bins == level)
    found["rank correlation of that reduction with similarity"] = rank_correlation(
        walks.similarity, walks.reductions(name)
    )
    return found


def _clouds(walks: Compared) -> dict[str, Estimate]:
    found = {text: mean_interval(walks.clouds[key]) for key, text in CLOUDS.items()}
    found["W2 of the clouds"] = mean_interval(walks.clouds["w2"])
    for key, text in (("w2_index", "index distance"), ("w2_gaussian", "Gaussian W2")):
        found[f"{text}, ratio to W2"] = ratio_interval(walks.clouds[key], walks.clouds["w2"])
    return found


def _summary(row: Row, coupling: str) -> dict[str, float]:
    """Return the metrics of one walk."""
    walk = cast(Mapping[str, Mapping[str, object]], row["couplings"])[coupling]
    steps = np.array(walk["lpips"], dtype=np.float64)
    return {
        LPIPS: float(steps.mean()),
        SPREAD: float(steps.std()),
        LARGEST: float(steps.max() / max(steps.sum(), np.finfo(np.float64).tiny)),
        PIXELS: float(np.mean(np.array(walk["pixels"], dtype=np.float64))),
        PATH: float(cast(float, walk["path"])),
    }
