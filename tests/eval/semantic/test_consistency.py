"""Consistency: the mean and the global of one shift for all are that shift."""

import numpy as np
import pytest

from latentgeo.eval.semantic.consistency import measure, of_rows, share


def test_all_forms_of_one_shift_for_all_are_equal(subject, shift, own_way):
    """Asyrp Sec. 5.3b: and of f_t, which depends on the image, they are not."""
    for row in measure(subject, shift, [0, 2]):
        for name in ("mean", "global"):
            assert row[name] == pytest.approx(row["own"], abs=1e-4)
    rows = measure(subject, own_way, [0, 2])
    assert all(abs(row["mean"]["score"] - row["own"]["score"]) > 1e-4 for row in rows)


def look(had, has, score):
    names = ("kept", "S_dir", "agreement", "iou", "lpips", "real")
    fixed = {**dict.fromkeys(names, 1.0), "others": 2.0, "real_before": 1.0}
    return {**fixed, "had": had, "has": has, "score": score}


def test_success_beside_that_of_the_own_shift():
    """Images that had the attribute do not count; no success of the own shift has no share."""
    rows = [
        {"own": look(0, 1, 3.0), "mean": look(0, 1, 2.0), "global": look(0, 0, 1.0)},
        {"own": look(0, 1, 3.0), "mean": look(0, 1, 2.0), "global": look(0, 1, 1.0)},
        {"own": look(1, 1, 3.0), "mean": look(1, 0, 2.0), "global": look(1, 0, 1.0)},
    ]
    found = of_rows(rows)
    assert found["Δh_t: success"].value == 1 and found["Δh_t: success"].n == 2
    assert found["Δh^mean: success, of Δh_t's".replace("^", "_t^")].value == 1
    assert found["Δh^global: success, of Δh_t's"].value == 0.5
    assert found["Δh^global: success, minus Δh_t's"].value == -0.5
    assert found["Δh^global: log odds of the wanted, minus Δh_t's"].value == -2
    none = [{name: {**one, "has": 0.0} for name, one in row.items()} for row in rows]
    assert not [name for name in of_rows(none) if "success, of" in name]
    assert np.isnan(share(np.ones(2), np.zeros(2))).all()
