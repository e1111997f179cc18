"""A judge: unit vectors, templates, any pair of encoders, and the embedded one's directions."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from latentgeo.core.asyrp import directional_loss, directional_similarity
from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.bundles.text_to_image import Undrawn
from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.file import write_clip
from latentgeo.models.judges.headed import is_headed
from latentgeo.models.judges.judge import Judge, load_judge, of_clip
from latentgeo.models.judges.small_clip import EMBEDDED
from latentgeo.train.data.stream import avatars, collate


@pytest.fixture(scope="module")
def clip() -> CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIP(CLIP_PRESETS["tiny"]).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_vectors_have_unit_length_and_the_encoders_directions(clip):
    judge = of_clip(clip)
    x = torch.rand(3, 3, 24, 24) * 2 - 1
    torch.testing.assert_close(judge.images(x), F.normalize(clip.image_features(x), dim=1))
    texts = judge.texts(["a hat", "no hat at all"])
    tokens = judge.tokenizer(["a hat", "no hat at all"])
    torch.testing.assert_close(texts, F.normalize(clip.text_features(tokens), dim=1))
    assert judge.name == "tiny"


def test_templates_average_unit_vectors(clip):
    """By hand: each sentence of unit length, then the mean of unit length."""
    sentences = ("a {} here", "{}", "no {}, yes")
    judge = of_clip(clip, sentences)
    found = judge.texts(["cap", "red"])
    for i, text in enumerate(["cap", "red"]):
        rows = clip.text_features(judge.tokenizer([s.format(text) for s in sentences]))
        mean = sum(row / row.norm() for row in rows) / 3
        torch.testing.assert_close(found[i], mean / mean.norm())


def test_a_text_of_alternatives_is_their_mean(clip):
    """By hand, beside a text that has none."""
    found = of_clip(clip).texts(["a cap | no cap | red", "red"])
    rows = of_clip(clip).texts(["a cap", "no cap", "red"])
    torch.testing.assert_close(found[0], F.normalize(rows.sum(0), dim=0))
    torch.testing.assert_close(found[1], rows[2])


def test_images_are_differentiable(clip):
    """The loss of an edit has a gradient at the edit, that of finite differences."""
    judge = of_clip(clip)
    source = torch.rand(1, 3, 24, 24) * 2 - 1
    edit = (source + 0.1 * torch.randn(1, 3, 24, 24)).requires_grad_()
    texts = judge.texts(["a face", "a smile"])

    def loss(x):
        return directional_loss(judge.images(source), judge.images(x), texts[0], texts[1]).sum()

    (gradient,) = torch.autograd.grad(loss(edit), edit)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        slope = (loss(edit + step) - loss(edit - step)) / 2e-2
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=0.02)


def test_any_pair_of_encoders_will_do():
    """Encoders that are functions: brightness and length of text."""
    pair = SimpleNamespace(
        image_features=lambda x: torch.stack([x.mean((1, 2, 3)), torch.ones(len(x))], dim=1),
        text_features=lambda tokens: tokens.float(),
    )
    judge = Judge(
        name="brightness",
        pair=pair,
        tokenizer=lambda texts: torch.tensor([[len(text), 7] for text in texts]),
        device=torch.device("cpu"),
    )
    torch.testing.assert_close(judge.texts(["x" * 7])[0], torch.tensor([0.5, 0.5]).sqrt())
    assert judge.images(torch.ones(2, 3, 4, 4))[0, 0] == pytest.approx(0.5**0.5)
    with pytest.raises(ValueError, match="wanted a list of str"):
        judge.texts("one")


def test_loads_by_name_and_by_path(tmp_path, clip):
    """The embedded pair, a copy of its file, and CLIP in OpenAI's names."""
    assert load_judge().name == "avatars" and is_headed(EMBEDDED)
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(EMBEDDED.read_bytes())
    assert load_judge(copy).name == "small CLIP mine.safetensors"
    path = write_clip(clip, tmp_path / "clip.safetensors", "openai")
    assert not is_headed(path)
    loaded = load_judge(path, templates=True)
    assert len(loaded.templates) == 79
    x = torch.rand(2, 3, 24, 24) * 2 - 1
    torch.testing.assert_close(loaded.images(x), of_clip(clip).images(x))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_judge(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("layout", ["vit-b-16"])
def test_the_paper_s_judge_has_its_shape(layout):
    """ViT-B/16 without its weights: 512 numbers for an image of any size."""
    with torch.device("meta"), Undrawn():
        judge = of_clip(CLIP(CLIP_PRESETS[layout]))
        x = torch.zeros(1, 3, 256, 256)
    assert judge.name == "vit-b-16" and judge.images(x).shape == (1, 512)


def test_the_embedded_judge_tells_smiles_and_glasses_by_direction():
    """S_dir of the means of held-out faces without and with: positive, the other one smaller."""
    judge = load_judge()
    faces = avatars("test")
    x, _ = collate([faces.read(i) for i in range(160)])
    seen, shown = judge.images(x), faces.attributes[:160]
    texts = judge.texts(["a face", "a smiling face", "a face with glasses"])
    smiles = torch.tensor([row["mouth"] == "smiling" for row in shown])
    glasses = torch.tensor([row["accessory"] == "glasses" for row in shown])
    for i, has in ((1, smiles), (2, glasses)):
        both = (seen[~has].mean(0, keepdim=True), seen[has].mean(0, keepdim=True))
        own, other = (directional_similarity(*both, texts[0], texts[k])[0] for k in (i, 3 - i))
        assert own > 0.3 and own > other + 0.2
