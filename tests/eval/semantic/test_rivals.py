"""Rivals: a whole model that was not tuned changes nothing; shifts in both terms."""

import pytest
import torch

from latentgeo.eval.semantic.rivals import measure, of_rows


def test_what_each_rival_does(subject, shift, tuned):
    """Asyrp Thm. 1, Asyrp Sec. D.1, Asyrp Sec. 5.3b: an untuned copy does nothing, others do."""
    rows = measure(subject, shift, [0, 1])
    for row in rows:
        assert row["whole"]["lpips"] == pytest.approx(0, abs=1e-6)
        assert row["whole"]["score"] == pytest.approx(row["whole"]["score_before"], abs=1e-4)
    for i, row in enumerate(rows):
        made = subject.edited(shift, [i], both=True)
        plain = subject.plain(shift, [i]).images
        wanted = float((made - plain).abs().mean()) / 2
        assert row["moved"]["both"] == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    found = of_rows(rows)
    moved = [row["moved"] for row in rows]
    ratio = found["Δh in P and D: change of pixels, of that by P alone"].value
    assert ratio == pytest.approx(sum(m["both"] for m in moved) / sum(m["own"] for m in moved))
    assert found["whole model tuned: segmentation, equal pixels"].value == 1
    assert "random Δε of its size: S_dir" in found


def test_a_tuned_model_does_something(subject, shift, tuned):
    weight = tuned.unet.conv_out.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(0.3)
    rows = measure(subject, shift, [0])
    with torch.no_grad():
        weight.copy_(before)
    assert rows[0]["whole"]["lpips"] > 1e-4
