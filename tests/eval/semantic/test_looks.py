"""Looks: what counts as success and as kept, and the numbers of known looks."""

import pytest
import torch

from latentgeo.eval.semantic.looks import compare, estimates, nearest, read, unasked

FACE = {
    **{"mouth": "sad", "eyes": "open", "brows": "normal", "hair": "bob", "hair_colour": "red"},
    **{"facial_hair": "none", "accessory": "none", "skin": "dark", "clothes": "blazer"},
    **{"clothes_colour": "red", "background": "blue"},
}


def test_what_an_edit_should_keep():
    """Not what it wants, nor what cannot be seen before and after."""
    assert unasked(FACE, {"mouth": ("smiling",)}) == sorted(set(FACE) - {"mouth"})
    both = {"mouth": ("smiling",), "accessory": ("sunglasses",)}
    assert unasked(FACE, both) == sorted(set(FACE) - {"mouth", "accessory", "eyes"})
    bald = {**FACE, "hair": "no"}
    assert unasked(bald, {"skin": ("pale",)}) == sorted(set(FACE) - {"skin", "hair_colour"})


def test_numbers_of_known_looks():
    """Asyrp Tab. 4, Asyrp Tab. 5: success among those that lack it, means of all."""
    same = {"S_dir": 0.5, "agreement": 0.75, "iou": 0.25, "lpips": 0.125}
    looks = [
        {**same, "had": 0, "has": 1, "kept": 3, "others": 4, "real": 3, "real_before": 2},
        {**same, "had": 0, "has": 0, "kept": 1, "others": 4, "real": 1, "real_before": 2},
        {**same, "had": 1, "has": 1, "kept": 2, "others": 2, "real": 2, "real_before": 2},
    ]
    found = estimates(looks)
    assert (found["success"].value, found["success"].n) == (0.5, 2)
    assert found["other attributes kept"].value == pytest.approx(0.6)
    assert found["S_dir"].value == 0.5 and found["segmentation, mean IoU"].value == 0.25
    assert found["distance to the nearest real face, of the unedited's"].value == 1
    assert "success" not in estimates(looks[2:])


@torch.no_grad()
def test_readings_of_images_beside_themselves_and_others(subject, shift):
    """Asyrp Tab. 4: the parts of a look, each from its definition."""
    images = subject.images[:2]
    before, after = read(subject.readers, images), read(subject.readers, images.flip(0))
    looks = compare(subject.readers, shift.wanted, shift.texts, before, after)
    assert looks[0]["score"] == looks[1]["score_before"]
    assert looks[0]["lpips"] == pytest.approx(looks[1]["lpips"], abs=1e-5) and looks[0]["lpips"] > 0
    change = after.embedding - before.embedding
    towards = shift.texts[1] - shift.texts[0]
    for i, look in enumerate(looks):
        cosine = change[i] @ towards / change[i].norm() / towards.norm()
        assert look["S_dir"] == pytest.approx(float(cosine), abs=1e-5)
        rise = look["seen"] - look["seen_before"]
        assert rise == pytest.approx(float(change[i] @ towards / towards.norm()), abs=1e-5)
        assert look["agreement"] == float((before.parts[i] == after.parts[i]).double().mean())
        assert look["had"] == (before.values[i]["mouth"] == "smiling")
        assert 0 <= look["kept"] <= look["others"]


def test_the_nearest_of_others():
    torch.manual_seed(0)
    a, b = torch.randn(3, 5), torch.randn(7, 5)
    wanted = torch.stack([min((x - y).norm() for y in b) for x in a])
    torch.testing.assert_close(nearest(a, b), wanted.double(), check_dtype=False)
