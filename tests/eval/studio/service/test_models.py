"""What the page offers of a model's folder, and which models stay loaded."""

from latentgeo.eval.studio.service import models
from latentgeo.eval.studio.service.models import Models, directions_of, size_of, variants
from latentgeo.infer.sampling.loading import keeping, load_model, parse_model
from tests.eval.studio.tiny import DIRECTIONS, write_face_model


def test_a_model_is_offered_with_the_adapters_beside_it(tiny):
    assert variants("avatars") == {
        "base": "avatars",
        "smooth": "avatars+smooth_lora",
        "isometric": "avatars+isometric_lora",
        "both": "avatars+smooth_lora+isometric_lora",
    }
    for spec in variants("avatars").values():
        parse_model(spec).check()
    assert variants(str(tiny.model)) == {"base": str(tiny.model), "smooth": tiny.smooth}


def test_directions_are_those_beside_a_model(tmp_path, tiny):
    write_face_model(tmp_path / "faces")
    assert directions_of(str(tmp_path / "faces")) == list(DIRECTIONS)
    assert directions_of(str(tiny.model)) == []


def test_a_model_stays_loaded_until_others_need_the_room(tiny, monkeypatch):
    """The same object is there again; beyond the limit the first goes, the last never does."""
    kept = Models()
    with keeping(kept):
        first = load_model(str(tiny.model))
        assert load_model(str(tiny.model)) is first
        monkeypatch.setattr(models, "MOST_BYTES", 2 * size_of(first) - 1)
        second = load_model(tiny.smooth)
        assert list(kept.values()) == [second]
        monkeypatch.setattr(models, "MOST_BYTES", 0)
        third = load_model(str(tiny.model))
        assert third is not first and list(kept.values()) == [third]
    assert load_model(str(tiny.model)) is not third
