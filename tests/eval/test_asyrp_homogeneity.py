"""Homogeneity: one shift for all is the same from a donor, in h, and not in ε."""

import pytest

from latentgeo.eval.asyrp_homogeneity import measure, of_rows


def test_one_shift_for_all_is_the_donors_too(subject, shift, own_way):
    """Asyrp Sec. 5.3: with Δh that does not depend on the image its effect is the own one."""
    rows = measure(subject, shift, [0, 1, 2])
    for i, row in enumerate(rows):
        own = subject.looks(shift, [i], subject.own(shift, [i]))[0]
        assert row["h"]["judge"] == pytest.approx(1, abs=1e-4)
        assert row["h"]["attributes"] == pytest.approx(1, abs=1e-4)
        assert row["h"]["lpips"] == pytest.approx(own["lpips"], abs=1e-4)
        assert row["eps"]["attributes"] < 0.999
    found = of_rows(rows)
    assert found["Δh of another: cosine of ΔI"].value == pytest.approx(1, abs=1e-4)
    assert found["Δε of another: cosine of ΔI"].n == 3
    for i, row in enumerate(measure(subject, own_way, [0, 1])):
        own = subject.looks(own_way, [i], subject.own(own_way, [i]))[0]
        assert abs(row["h"]["lpips"] - own["lpips"]) > 1e-5
