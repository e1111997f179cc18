"""The segmenter: sizes it takes, its file, and the embedded one on a face that is known."""

import pytest
import torch

from latentgeo.models.judges.headed import write_headed
from latentgeo.models.judges.segmenter import (
    EMBEDDED,
    PARTS,
    Segmenter,
    SegmenterConfig,
    load_segmenter,
)

CONFIG = SegmenterConfig(parts=("ground", "disc", "ring"), channels=(4, 6, 8), groups=2)


@pytest.fixture
def model() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(CONFIG).eval()


def test_takes_any_multiple_of_its_factor(model):
    x = torch.randn(2, 3, 12, 20)
    assert model(x).shape == (2, 3, 12, 20)
    found = model.read(x, batch=1)
    assert found.dtype == torch.int64 and torch.equal(found, model(x).argmax(1))
    with pytest.raises(ValueError, match="multiples of 4"):
        model(torch.zeros(1, 3, 12, 18))


def test_file_round_trip_in_half_precision(tmp_path, model):
    loaded = load_segmenter(write_headed(model, tmp_path / "s.safetensors", torch.float16))
    assert loaded.config == CONFIG and not loaded.training
    x = torch.randn(1, 3, 8, 12)
    torch.testing.assert_close(loaded(x), model(x), rtol=0, atol=5e-3)


def test_missing_and_wrong_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        load_segmenter(tmp_path / "missing.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ValueError, match="not a segmenter"):
        load_segmenter(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="groups"):
        SegmenterConfig(channels=(6,))


def test_the_embedded_one_sees_the_parts_that_faces_have():
    """A shape of at most 0.3 million weights; bald ones have no hair, bare ones no glasses."""
    from latentgeo.train.data.stream import avatars, collate

    model = load_segmenter()
    assert sum(p.numel() for p in model.parameters()) <= 300_000
    assert EMBEDDED.stat().st_size < 700_000 and model.config.parts == PARTS
    faces = avatars("test")
    x, _ = collate([faces.read(i) for i in range(24)])
    found = model.read(x)
    bald = torch.tensor([values["hair"] == "no" for values in faces.attributes[:24]])
    hair = (found == PARTS.index("hair")).flatten(1).float().mean(1)
    assert hair[bald].max() < 0.01 < 0.03 < hair[~bald].min()
    glasses = (found == PARTS.index("glasses")).flatten(1).sum(1)
    worn = torch.tensor([values["accessory"] != "none" for values in faces.attributes[:24]])
    assert glasses[worn].min() > 40 > 10 > glasses[~worn].max()
