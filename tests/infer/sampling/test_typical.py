"""How typical an image is: on networks whose x̂_0 is known, and on the embedded model."""

import math
from types import SimpleNamespace

import pytest
import torch

from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import SCHEDULES
from latentgeo.infer.pictures.photos import read_photos
from latentgeo.infer.sampling.typical import (
    FILE,
    Typical,
    one_step,
    read_typical,
    tell,
    typical_of,
    write_typical,
)
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.models.zoo.places import ZOO

SCHEDULE = SCHEDULES["linear"]()
KNOWN = Typical(psnr=tuple(map(float, range(10, 50))), size=64, settings={})  # 5 % below 12


def stub():
    """A model of images as they are."""
    return SimpleNamespace(
        schedule=SCHEDULE, dtype=torch.float32, encode=lambda x: x, decode=lambda x: x
    )


def images():
    return torch.rand(3, 3, 11, 13, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_network_that_knows_the_images_gives_them_back():
    x, bar = images(), SCHEDULE.alpha_bar[300]

    def predict(x_t, t):
        assert t.tolist() == [300] * 3
        return (x_t - bar.sqrt() * x) / (1 - bar).sqrt()

    assert one_step(stub(), predict, x).min() > 90


def test_one_that_sees_no_noise_leaves_it_all():
    """x̂_0 = x_t / √ᾱ_t: the error is the noise itself, √(1/ᾱ_t - 1) ε, the same for each image."""
    found = one_step(stub(), lambda x_t, t: torch.zeros_like(x_t), images())
    ratio = (1 / SCHEDULE.alpha_bar[300] - 1).item()
    draws = [torch.randn(3, 11, 13, generator=generator(i, "typical")) for i in range(2)]
    wanted = [-10 * math.log10(ratio * eps.double().square().mean() / 4) for eps in draws]
    torch.testing.assert_close(found, torch.full((3,), sum(wanted) / 2).double(), rtol=1e-4, atol=0)


def test_an_image_does_not_depend_on_those_beside_it():
    x = images()
    whole = one_step(stub(), lambda x_t, t: 0.3 * x_t, x)
    alone = torch.cat([one_step(stub(), lambda x_t, t: 0.3 * x_t, one[None]) for one in x])
    torch.testing.assert_close(whole, alone)


def test_a_twentieth_of_what_was_measured_lies_below_the_bound():
    assert sum(value < KNOWN.bound for value in KNOWN.psnr) == 2


@pytest.mark.filterwarnings("error")
def test_what_is_said_of_images(capsys):
    tell(["a.png", "b.png"], torch.tensor([12.0, 40]), KNOWN)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("a.png: ") and "12.0 dB: the model knows such images" in first
    assert "95% of 40 images like those it has learned have 12.0 or more" in second
    with pytest.raises(UserWarning, match=r"a\.png: .* 11\.9 dB, but 95% .* has not learned such"):
        tell(["a.png"], torch.tensor([11.9]), KNOWN)
    tell(["a.png"], torch.tensor([3.0]), None)
    assert "3.0 dB; what is usual for this model, latentgeo eval-typical" in capsys.readouterr().out


def test_a_file_is_read_from_the_models_folder_at_its_size(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert typical_of(str(tmp_path), 64) is None
    write_typical(tmp_path / FILE, KNOWN)
    assert typical_of(str(tmp_path), 64) == KNOWN
    assert typical_of(str(tmp_path), 32) is None


@pytest.mark.parametrize("text", ["[]", "{", '{"psnr": [], "size": 1, "settings": {}}',
                                  '{"psnr": [NaN], "size": 1, "settings": {}}'])  # fmt: skip
def test_another_file_is_refused_by_its_name(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=r"typical\.json"):
        read_typical(tmp_path / FILE)


def test_the_embedded_model_tells_images_of_other_kinds():
    """Emoji, which DDIM inversion leads back to as well as to faces (n = 6: 27 to 31 dB)."""
    model, known = load_plain("avatars-ddpm", torch.device("cpu")), typical_of("avatars-ddpm", 64)
    others = read_photos(sorted((ZOO / "data" / "emoji-sample").glob("*.png"))[:5], 1, 64)
    assert (one_step(model, model.predict(), others) < known.bound).all()
