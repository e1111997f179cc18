"""MCN and VoR of spectra that are known."""

import numpy as np
import pytest

from latentgeo.eval.metrics.spectra import Spectra, spectra_of, variance_estimates

N, T, K = 7, 2, 5


def rows(gain, whole=True, seed=0):
    """Spectra gain_i (K, …, 1), times a spread over images that depends on t."""
    draw = np.random.default_rng(seed).uniform(1, 2, (N, T))
    found = []
    for i in range(N):
        spectra = {}
        for j, t in enumerate((600, 900)):
            values = (gain * draw[i, j] * np.arange(K, 0, -1)).tolist()
            spectra[str(t)] = {"values": values} | ({} if whole else {"residual": [0.5] * K})
        found.append({"spectra": {"8": spectra}})
    return found, draw


def test_estimates_of_known_spectra():
    """Iso Eq. 10, Iso Eq. 11: condition number K, variance Σ k² Var(gain), at each t by itself."""
    (base, draw), (twice, _) = rows(1.0), rows(2.0)
    one, other = (spectra_of(some)["8"] for some in (twice, base))
    found = one.estimates("8", other, ("mcn", "vor"))
    own, ratio = found["MCN of h in cells of 8"]
    assert own.value == pytest.approx(K) and ratio.value == pytest.approx(1)
    assert own.n == N and own.interval == pytest.approx([K, K])
    square = (np.arange(1, K + 1) ** 2).sum()
    own, ratio = found["VoR of h in cells of 8"]
    assert own.value == pytest.approx(4 * square * draw.var(axis=0, ddof=1).mean())
    assert ratio.value == pytest.approx(4) and ratio.interval == pytest.approx([4, 4])
    own, ratio = found["VoR of ln σ of h in cells of 8"]
    assert own.value == pytest.approx(K * np.log(draw).var(axis=0, ddof=1).mean())
    assert ratio.value == pytest.approx(1)
    at = found["VoR of h in cells of 8 at t = 900"][0]
    assert at.value == pytest.approx(4 * square * draw[:, 1].var(ddof=1))


def test_a_part_of_a_spectrum_says_so():
    some, _ = rows(1.0, whole=False)
    found = spectra_of(some)["8"].estimates("1", None, ("mcn", "vor"))
    assert found["MCN of h, at least"][0].value == pytest.approx(K)
    assert found["residual of the smallest σ of h, over σ"][0].value == pytest.approx(
        np.mean([[0.5 / one["values"][-1] for one in row["spectra"]["8"].values()] for row in some])
    )
    assert "VoR of h, 5 largest σ" in found
    assert all(ratio is None for _, ratio in found.values())
    assert not any("VoR" in name for name in spectra_of(some)["8"].estimates("1", None, ("mcn",)))


def test_a_dead_direction_is_zero_up_to_rounding():
    some, _ = rows(1.0)
    for row in some:
        row["spectra"]["8"]["600"]["values"][-1] = 0.0
    found = spectra_of(some)["8"]
    assert found.conditions().max() == pytest.approx((1e12 + K) / 2)
    assert np.isfinite(
        found.estimates("8", None, ("vor",))["VoR of ln σ of h in cells of 8"][0].value
    )


def test_intervals_cover_the_variance():
    """Iso Eq. 11: in most of 100 experiments on 20 images."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(100):
        values = rng.normal(5.0, [1.0, 2.0], (20, 1, 2))
        own, _ = variance_estimates(values, None)
        hits += own.low <= 5.0 <= own.high
    assert hits >= 85


def test_times_are_kept():
    some, _ = rows(1.0)
    found = spectra_of(some)["8"]
    assert isinstance(found, Spectra) and found.times == (600, 900)
    assert found.at(1).times == (900,) and spectra_of([]) == {}
