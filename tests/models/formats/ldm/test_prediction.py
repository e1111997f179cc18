"""What a single file's UNet predicts: by a marker, a .yaml beside it, its metadata, its user."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.infer.sampling.pipeline import Sampling, denoise, seed_noises
from latentgeo.models.formats.inspection import inspect
from latentgeo.models.formats.ldm import file as ldm
from latentgeo.models.formats.ldm.file import read_ldm, write_ldm
from latentgeo.models.formats.load import load_text_to_image
from tests.models.formats.conftest import TINY

YAML = """model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    # parameterization: "eps"
    parameterization: "{}"  # of the UNet
    linear_start: 0.00085
"""


@pytest.fixture
def foreign(tiny, tmp_path, monkeypatch):
    """Make a file of the tiny model that says nothing of it, and is held against its shape."""
    monkeypatch.setattr(ldm, "BundleConfig", lambda: TINY)

    def make(metadata=None, name="a.safetensors", **more):
        state = load_file(write_ldm(tiny, tmp_path / "own.safetensors"))
        path = tmp_path / name
        if path.suffix == ".ckpt":
            torch.save({"state_dict": state | more}, path)
        else:
            save_file(state | more, path, metadata)
        return path

    return make


def test_a_file_that_says_nothing_predicts_the_noise(foreign):
    assert read_ldm(foreign()).config.prediction == "eps"


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_the_marker(foreign, name):
    path = foreign(name=name, v_pred=torch.tensor([]))
    assert read_ldm(path).config.prediction == "v"
    assert dict(inspect(path))["schedule"] == "scaled_linear, predicts v"


@pytest.mark.parametrize(
    ("word", "kind", "end"), [("v", "v", "yaml"), ("eps", "eps", "yml"), ("x0", "x_0", "yaml")]
)
def test_the_yaml_beside_it(foreign, word, kind, end):
    path = foreign()
    path.with_suffix(f".{end}").write_text("\ufeff" + YAML.format(word), encoding="utf-8")
    path.with_name("other.yaml").write_text(YAML.format("v"))
    assert read_ldm(path).config.prediction == kind


def test_the_metadata(foreign):
    assert read_ldm(foreign({"modelspec.prediction_type": "v"})).config.prediction == "v"


def test_what_was_written_here_says_it_itself(tiny, tmp_path):
    path = write_ldm(tiny, tmp_path / "a.safetensors")
    path.with_suffix(".yaml").write_text(YAML.format("v"))
    assert read_ldm(path).config.prediction == "eps"


def test_contradictions_and_other_words_are_refused(foreign):
    path = foreign(v_pred=torch.tensor([]))
    beside = path.with_suffix(".yaml")
    beside.write_text(YAML.format("eps"))
    with pytest.raises(ValueError, match=r"predicts v by its marker v_pred and eps by a\.yaml"):
        read_ldm(path)
    beside.write_text(YAML.format("flow"))
    with pytest.raises(ValueError, match=r"a\.yaml: parameterization is 'flow', wanted one of eps"):
        read_ldm(path)
    with pytest.raises(ValueError, match="has the marker ztsnr: its noise schedule ends at an SNR"):
        read_ldm(foreign(ztsnr=torch.tensor([])))


@pytest.mark.parametrize(("word", "kind"), [("eps", "eps"), ("v", "v"), ("x_0", "x_0")])
def test_the_user_has_the_last_word(foreign, word, kind):
    path = foreign(v_pred=torch.tensor([]))
    assert load_text_to_image(path, prediction=word).config.prediction == kind


@torch.no_grad()
def test_diffusers_samples_the_same_of_a_file_that_predicts_v(foreign):
    """DDIM Eq. 12: its scheduler, told that the UNet returns v."""
    diffusers = pytest.importorskip("diffusers")
    bundle = read_ldm(foreign(v_pred=torch.tensor([])))
    ends = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    how = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    theirs = diffusers.DDIMScheduler(prediction_type="v_prediction", **ends, **how)
    theirs.set_timesteps(4)
    x = noise = seed_noises([1], bundle.latent_shape)
    context = bundle.encode_text(["a smiling face"])
    for t in theirs.timesteps:
        x = theirs.step(bundle.unet(x, t[None], context), t, x).prev_sample
    found = denoise(bundle, noise, ["a smiling face"], Sampling(steps=4, guidance=1.0))
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5 * float(x.abs().max()))
