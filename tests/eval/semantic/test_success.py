"""Success: an edit of nothing makes nothing and keeps all; what inversion loses is its own."""

from dataclasses import replace

import pytest
import torch

from latentgeo.eval.semantic.success import measure, of_rows
from latentgeo.infer.pictures.closeness import psnr
from latentgeo.models.bundles.delta_h import GlobalDirection


def test_an_edit_of_nothing(subject, shift):
    """Asyrp Tab. 4: consistency is 1, nothing is won, and S_dir of no change is 0."""
    nothing = GlobalDirection(torch.zeros_like(shift.attribute.direction.shift))
    one = replace(shift, name="none", attribute=replace(shift.attribute, direction=nothing))
    subject.memo.clear()  # other batches round otherwise
    rows = measure(subject, one, [0, 1, 2])
    found = of_rows(rows)
    assert found["other attributes kept"].value == 1
    assert found["segmentation, equal pixels"].value == 1
    assert found["segmentation, mean IoU"].value == 1
    assert found["S_dir"].value == 0
    assert found["LPIPS to the unedited"].value == pytest.approx(0, abs=1e-6)
    assert found.get("success") is None or found["success"].value == 0
    made = subject.plain(one, [0, 1, 2]).images
    wanted = psnr(subject.images[:3], made).mean()
    assert found["reconstruction, PSNR"].value == pytest.approx(float(wanted))
