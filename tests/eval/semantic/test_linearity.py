"""Linearity: R² of scores whose shape is known."""

import numpy as np
import pytest

from latentgeo.eval.semantic.linearity import measure, of_rows, r_squared

SCALES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def test_r_squared_of_known_shapes():
    """Asyrp Sec. 5.3b: 1 of a line of any slope, 0 of a parabola and of nothing, else by lstsq."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(7, 5))
    line = np.stack([SCALES, np.ones(5)], axis=1)
    rest = y.T - line @ np.linalg.lstsq(line, y.T, rcond=None)[0]
    wanted = 1 - rest.var(0) / y.var(1)
    np.testing.assert_allclose(r_squared(SCALES, y), wanted)
    known = r_squared(SCALES, np.stack([3 - 0.1 * SCALES, SCALES**2, np.full(5, 2.0)]))
    np.testing.assert_allclose(known, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(r_squared(SCALES, y[0]), wanted[0])
    beside = r_squared(SCALES + 3, 1e-3 * y.reshape(7, 1, 5))  # of any place, size and shape
    np.testing.assert_allclose(beside, wanted[:, None])


def test_lines_with_noise_that_cancels():
    """The means lie on a line, the images' own scores do not."""
    bent = 3.0 * SCALES + np.array([[1], [-1]]) * np.array([2.0, -1.0, 0.0, 1.0, -2.0]) ** 2
    rows = [{"scales": SCALES.tolist(), "score": y.tolist(), "seen": y.tolist()} for y in bent]
    found = of_rows(rows)
    assert found["log odds of the wanted: R², of the means"].value == pytest.approx(1)
    each = 1 - bent[0].var() ** -1 * (np.array([4, 1, 0, 1, 4.0])).var()
    assert found["log odds of the wanted: R², per image"].value == pytest.approx(each)
    assert found["log odds of the wanted, c = -2"].value == -6


def test_scores_are_those_of_the_edits(subject, shift):
    rows = measure(subject, shift, [2, 0])
    assert rows[0]["scales"] == [-1.0, 0.0, 1.0]
    own = subject.looks(shift, [0], subject.own(shift, [0]))[0]
    assert rows[1]["score"][2] == pytest.approx(own["score"], abs=1e-4)
    assert rows[1]["score"][1] == pytest.approx(own["score_before"], abs=1e-4)
    other = subject.read(subject.edited(shift, [2], -1.0))
    assert rows[0]["seen"][0] == pytest.approx(
        subject.looks(shift, [2], other)[0]["seen"], abs=1e-4
    )
