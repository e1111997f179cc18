"""Edits with a known answer: what is proposed, and what is seen in images that are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from latentgeo.eval.metrics.caption_adherence import Attributes
from latentgeo.eval.metrics.editing import (
    DIRECTION,
    KEPT,
    LPIPS,
    OUTSIDE,
    SWAPPED,
    WANTED,
    Change,
    Eyes,
    Seen,
    change_results,
    edit_results,
    look,
    other_attributes,
    propose,
)
from latentgeo.models.judges.captions import ATTRIBUTES, parse_caption

FACE: Attributes = {name: values[0] for name, values in ATTRIBUTES.items()}
CAPTIONS = [
    "a sad person with short red hair",
    "a person with glasses wearing a red hoodie",
    "a light-skinned person on a blue background",
    "a person with open eyes",  # nothing stated can be swapped: an accessory is added
] * 11


def test_captions_that_are_not_of_the_avatars_have_no_edits():
    with pytest.raises(ValueError, match="data: no caption states an attribute of the avatars"):
        propose(["a green apple", "a red apple"], [FACE, FACE], 0)


def test_proposals_change_one_attribute_to_what_is_not_shown():
    shown = [{**FACE, "accessory": "glasses", "mouth": "sad"}] * len(CAPTIONS)
    changes = propose(CAPTIONS, shown, 0)
    for change, text in zip(changes, CAPTIONS, strict=True):
        before, after = parse_caption(text), parse_caption(change.target)
        assert change.source == text and after[change.attribute] == change.value
        assert change.value not in (
            "none",
            before.get(change.attribute),
            shown[0][change.attribute],
        )
        assert {n: v for n, v in after.items() if n != change.attribute} == {
            n: v for n, v in before.items() if n != change.attribute
        }
    assert len({change.attribute for change in changes}) >= 5
    assert propose(CAPTIONS, shown, 0) == changes != propose(CAPTIONS, shown, 1)


def test_an_attribute_without_another_value_is_left_alone():
    """Stated is one of the two, and the image shows the other."""
    (found,) = propose(["a person with a beard"], [{**FACE, "facial_hair": "moustache"}], 0)
    assert found.attribute == "accessory"


def change(attribute="mouth", value="smiling"):
    return Change(attribute=attribute, value=value, source="", target="")


def test_what_an_edit_hides_is_not_asked_for():
    assert set(ATTRIBUTES) - set(other_attributes(change(), {**FACE, "hair": "long"})) == {"mouth"}
    bald = {**FACE, "hair": "no"}
    assert "hair_colour" not in other_attributes(change(), bald)
    behind = change("accessory", "sunglasses")
    assert "eyes" not in other_attributes(behind, FACE)
    assert "eyes" not in other_attributes(change(), {**FACE, "accessory": "sunglasses"})


class Ends:
    """A judge that sees the first and the last row of an image, and reads lengths of texts."""

    def images(self, x):
        return torch.stack([x[:, 0, 0, 0], x[:, 0, -1, 0]], 1)

    def texts(self, texts):
        return torch.tensor([[float(len(text)), 0.0] for text in texts])


def test_images_that_are_known_are_seen_so():
    """Asyrp Eq. 17: the first is edited as wanted; the second in another attribute, outside its
    region.
    """
    source = torch.zeros(2, 3, 4, 5)
    edited = source.clone()
    edited[0, :, 0, 0] = 1.0  # inside the region of the mouth
    edited[1, :, 3, :] = 0.5  # outside
    seen = {0.0: FACE, 1.0: {**FACE, "mouth": "sad"}, 0.5: {**FACE, "skin": "dark"}}

    def read(images):
        return [dict(seen[float(image.amax())]) for image in images]

    inside = torch.ones(4, 5, dtype=torch.bool)
    inside[0, 0] = False
    regions = {name: inside for name in SWAPPED}
    changes = [replace(change(value="sad"), target="sad")] * 2
    eyes = Eyes(read=read, distance=lambda a, b: (a - b).abs().amax((1, 2, 3)), judge=Ends())
    out = look(changes, source, edited, eyes, regions)
    assert out.wanted.tolist() == [1, 0]
    assert (out.others - out.kept).tolist() == [0, 1]
    assert out.lpips.tolist() == [1, 0.5]
    np.testing.assert_allclose(out.outside, [0, 0.25 * 5 / 19])
    np.testing.assert_allclose(out.direction, [1, 0], atol=1e-6)  # along the texts, and across


def numbers(wanted, kept):
    n = len(wanted)
    return Seen(
        wanted=np.array(wanted, dtype=float),
        kept=np.array(kept, dtype=float),
        others=np.full(n, 10.0),
        lpips=np.arange(n, dtype=float),
        outside=np.zeros(n),
        direction=np.zeros(n),
    )


def test_results_are_shares_with_intervals_and_paired_differences():
    base, other = numbers([1, 0, 1, 1], [10, 9, 8, 9]), numbers([1, 1, 1, 1], [10, 10, 9, 10])
    found = {one.metric: one for one in edit_results("m", "smooth", base, 5, {"w": 3})}
    assert set(found) == {f"smooth: {name}" for name in (WANTED, KEPT, LPIPS, OUTSIDE, DIRECTION)}
    wanted = found[f"smooth: {WANTED}"]
    assert wanted.value == 0.75 and wanted.n == 4 and wanted.seed == 5
    assert wanted.interval is not None and wanted.interval[0] < 0.75 < wanted.interval[1]
    assert found[f"smooth: {KEPT}"].value == pytest.approx(0.9)
    more = change_results("m2", "m", "smooth", (other, base), 5)
    values = {one.metric: one.value for one in more}
    assert values[f"smooth: {WANTED}, minus m"] == 0.25
    assert values[f"smooth: {KEPT}, minus m"] == pytest.approx(0.075)
