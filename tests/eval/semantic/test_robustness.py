"""Robustness: no noise is no change, more is more, in both spaces."""

from dataclasses import replace

import pytest

from latentgeo.eval.semantic.robustness import measure, of_rows


def test_noise_of_no_size_and_of_some(subject, shift):
    """Asyrp Sec. D.2: LPIPS is 0 at level 0 and above at another, with any split into batches."""
    rows = measure(subject, shift, [0, 1])
    for row in rows:
        assert row["Δh of 0 ‖h‖"]["lpips"] == pytest.approx(0, abs=1e-5)
        assert row["Δε of 0 ‖ε‖"]["lpips"] == pytest.approx(0, abs=1e-5)
        assert row["Δε of 0.5 ‖ε‖"]["lpips"] > 1e-4
        assert row["Δh of 0.5 ‖h‖"]["lpips"] > 1e-7
    (alone,) = measure(subject, shift, [1])
    assert alone["Δε of 0.5 ‖ε‖"] == pytest.approx(rows[1]["Δε of 0.5 ‖ε‖"], abs=1e-4)
    found = of_rows(rows)
    more = found["Δε of 0.5 ‖ε‖: LPIPS, minus that of Δh of 0.5 ‖h‖"]
    parts = [row["Δε of 0.5 ‖ε‖"]["lpips"] - row["Δh of 0.5 ‖h‖"]["lpips"] for row in rows]
    assert more.value == pytest.approx(sum(parts) / 2)
    near = found["Δh of 0 ‖h‖: distance to the nearest real face, of the unedited's"]
    assert near.value == pytest.approx(1, abs=1e-4)


def test_noise_after_which_the_variance_is_kept(subject, shift):
    """Asyrp Sec. D.2b: beside the other two where asked for, and compared with neither."""
    rows = measure(replace(subject, keep_variance=True), shift, [0])
    kept = "Δε of 0.5 ‖ε‖, variance kept"
    assert rows[0][kept]["lpips"] > 1e-4
    assert rows[0][kept]["lpips"] != rows[0]["Δε of 0.5 ‖ε‖"]["lpips"]
    assert rows[0]["Δε of 0 ‖ε‖, variance kept"]["lpips"] == pytest.approx(0, abs=1e-5)
    found = of_rows(rows)
    assert any(one.startswith(kept) for one in found)
    assert sum("minus that of" in one for one in found) == 2
