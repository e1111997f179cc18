"""Homogeneity: one shift for all is the same from a donor, in h, and not in ε."""

import pytest
import torch

from latentgeo.eval.semantic.homogeneity import cosines, measure, of_rows
from latentgeo.eval.semantic.looks import Reading


def test_one_shift_for_all_is_the_donors_too(subject, shift, own_way):
    """Asyrp Sec. 3.2, Asyrp Sec. 5.3b: a Δh of no image has its own effect."""
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


def test_cosines_are_of_each_image_by_itself():
    """Asyrp Sec. 5.3: cos(Δ_own, Δ_other) of embeddings and log probabilities, image by image."""
    torch.manual_seed(0)
    plain, own, other = (reading(torch.randn(3, 5), torch.randn(3, 4)) for _ in range(3))
    found = cosines(plain, own, other)
    for i in range(3):
        mine, theirs = ((one.embedding - plain.embedding)[i] for one in (own, other))
        wanted = mine @ theirs / (mine.norm() * theirs.norm())
        torch.testing.assert_close(found["judge"][i], wanted)
        z = [one.logits["hair"][i].double() for one in (plain, own, other)]
        before, mine, theirs = (row - row.exp().sum().log() for row in z)
        mine, theirs = mine - before, theirs - before
        wanted = mine @ theirs / (mine.norm() * theirs.norm())
        torch.testing.assert_close(found["attributes"][i], wanted)


def reading(embedding, logits):
    none = torch.zeros(3)
    return Reading(
        images=none,
        logits={"hair": logits},
        values=[],
        embedding=embedding,
        parts=none,
        nearest=none,
    )
