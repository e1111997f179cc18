"""Steps: every S̃ beside its own reconstruction; the usual one is the edit itself."""

import pytest

from latentgeo.eval.semantic.steps import measure, of_rows


def test_every_length_by_itself(subject, shift):
    """Asyrp Sec. F: of the usual S̃ nothing differs; of another the edit is made with S/S̃ Δh."""
    rows = measure(subject, shift, [0, 1])
    own = subject.looks(shift, [0], subject.own(shift, [0]))[0]
    assert set(rows[0]) == {"S̃ = 2", "S̃ = 3"}
    assert rows[0]["S̃ = 3"]["apart"] == pytest.approx(0, abs=1e-6)
    assert rows[0]["S̃ = 3"]["gain"] == pytest.approx(own["score"] - own["score_before"], abs=1e-4)
    after = subject.read(subject.edited(shift, [0], steps=2))
    look = subject.looks(shift, [0], after, steps=2)[0]
    assert rows[0]["S̃ = 2"]["score"] == pytest.approx(look["score"], abs=1e-4)
    assert rows[0]["S̃ = 2"]["lpips"] == pytest.approx(look["lpips"], abs=1e-4)
    assert rows[0]["S̃ = 2"]["apart"] > 1e-4
    found = of_rows(rows)
    gains = [row["S̃ = 2"]["gain"] for row in rows]
    assert found["S̃ = 2: gain in log odds of the wanted"].value == pytest.approx(sum(gains) / 2)
