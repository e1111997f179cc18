"""Layers: a shift that is one for all is its own and a donor's; names say where it enters."""

from dataclasses import replace

import pytest
import torch

from latentgeo.eval.semantic import homogeneity as asyrp_homogeneity
from latentgeo.eval.semantic.layers import measure, of_rows
from latentgeo.infer.semantic.layers import EPS
from latentgeo.models.bundles.delta_h import DirectionTable, GlobalDirection


def at(one, layer, direction):
    attribute = replace(one.attribute, direction=direction, layer=layer)
    return replace(one, name=f"at {layer}", attribute=attribute)


@pytest.fixture(scope="module")
def edits(shift, small):
    """The same edit at the bottleneck, at the last layer of all, and in ε."""
    torch.manual_seed(2)
    last = GlobalDirection(torch.randn(8, 32, 32)).requires_grad_(False)
    table = DirectionTable([1000, 501], 0.2 * torch.randn(2, 3, 32, 32)).requires_grad_(False)
    return [shift, at(shift, "up.0", last), at(shift, EPS, table)]


def test_one_shift_for_all_is_own_and_anothers(subject, edits, own_way):
    """Asyrp Sec. D.3: at every layer; and an f_t's is not."""
    names = ("h, layer 5 of 9", "up.0, layer 8 of 9", "eps, layer 9 of 9")
    for one, name in zip(edits, names, strict=True):
        subject.memo.clear()  # other batches round otherwise
        rows = measure(subject, one, [0, 1, 2])
        for row in rows:
            assert row["layer"] == name
            assert row["other"]["lpips"] == pytest.approx(row["own"]["lpips"], abs=1e-4)
            assert row["own"]["lpips"] > 1e-3 and abs(row["alike"]) <= 1 + 1e-6
        found = of_rows(rows)
        kept = f"{name}: shift of another: other attributes kept"
        assert found[kept].value == found[kept.replace("shift of another", "own shift")].value
        assert found[f"{name}: one shift on two images, cosine of ΔI"].n == 3
    rows = measure(subject, own_way, [0, 1])
    assert any(abs(row["other"]["lpips"] - row["own"]["lpips"]) > 1e-5 for row in rows)


def test_two_equal_images_change_alike(subject, edits):
    """Asyrp Sec. D.3: the cosine is 1 where an image and its donor are the same."""
    twins = replace(subject, x_T=subject.x_T[:1].expand_as(subject.x_T), memo={})
    for one in edits:
        (row,) = measure(twins, one, [0])
        assert row["alike"] == pytest.approx(1, abs=1e-4)


def test_the_donor_is_the_next_image(subject, edits):
    """Asyrp Sec. D.3: image 0 and its donor 1 are the same here, 1 and 2 are not."""
    order = torch.tensor([0, 0, *range(2, len(subject.x_T))])
    twins = replace(subject, x_T=subject.x_T[order], memo={})
    first, second = measure(twins, edits[2], [0, 1])
    assert first["alike"] == pytest.approx(1, abs=1e-4) and second["alike"] < 0.999


def test_homogeneity_of_an_edit_in_eps(subject, edits):
    """Asyrp Sec. 3.2: it has a Δε of its own, which a donor's is too, and no Δh."""
    rows = asyrp_homogeneity.measure(subject, edits[2], [0, 1])
    assert all("h" not in row and row["eps"]["judge"] > 0.999 for row in rows)
    assert {name.partition(":")[0] for name in asyrp_homogeneity.of_rows(rows)} == {"Δε of another"}
