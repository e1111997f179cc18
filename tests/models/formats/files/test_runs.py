"""A training's folder, in the place of what the training left in it."""

import pytest
import torch

from latentgeo.infer.sampling.loading import parse_model
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.convert import kind_of
from latentgeo.models.formats.load import find_direction, find_lora, find_model
from latentgeo.models.judges.headed import is_headed, write_headed
from latentgeo.models.judges.segmenter import Segmenter, SegmenterConfig, load_segmenter
from latentgeo.models.lora.adapter import attach, save_lora
from latentgeo.models.zoo.places import ZOO


@pytest.fixture
def stopped(tmp_path):
    """The folder of a training that was stopped before it wrote what it trains."""
    folder = tmp_path / "my run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "run.toml").write_text('command = "train-smooth"\n')
    return folder


def test_the_folder_of_a_smooth_training_is_its_adapter(fresh, tmp_path):
    model, out = tmp_path / "model", tmp_path / "sm2"
    save_bundle(fresh, model)
    attach(fresh.unet, 2)
    path = save_lora(out / "smooth_lora.safetensors", fresh.unet)
    assert find_lora(str(out), model) == path and kind_of(out) == "lora"
    assert parse_model(f"{model}+{out}@0.5").files() == [(path, 0.5)]
    save_lora(out / "isometric_lora.safetensors", fresh.unet)
    with pytest.raises(ValueError, match="has several, wanted one: isometric_lora"):
        find_lora(str(out), model)


def test_a_model_with_adapters_beside_it_stays_a_model():
    assert kind_of(ZOO / "avatars") == "model" and find_model("avatars") == ZOO / "avatars"


def test_a_folder_without_an_adapter_says_how_its_training_goes_on(stopped):
    goes_on = f"latentgeo train-smooth --resume --out '{stopped}'"
    with pytest.raises(FileNotFoundError, match="is no LoRA: it has no ") as error:
        find_lora(str(stopped), ZOO / "avatars")
    assert goes_on in str(error.value)
    with pytest.raises(FileNotFoundError) as error:
        find_model(stopped)
    assert goes_on in str(error.value)


def test_a_folder_that_is_no_model_says_what_it_is_good_for(tmp_path):
    (tmp_path / "vae.json").touch()
    with pytest.raises(FileNotFoundError, match=r"an autoencoder, on which .*--vae"):
        find_model(tmp_path)
    (tmp_path / "smooth_lora.safetensors").touch()
    with pytest.raises(FileNotFoundError, match="wanted behind its model: MODEL"):
        find_model(tmp_path)


def test_the_folder_of_directions_is_its_one_direction(tmp_path):
    (tmp_path / "smile.safetensors").touch()
    assert find_direction(str(tmp_path), ZOO / "avatars-ddpm").name == "smile.safetensors"
    (tmp_path / "young.safetensors").touch()
    with pytest.raises(ValueError, match=r"smile\.safetensors, young\.safetensors; name the file"):
        find_direction(str(tmp_path), ZOO / "avatars-ddpm")


def test_the_folder_of_a_judge_is_the_judge(tmp_path):
    model = Segmenter(SegmenterConfig())
    write_headed(model, tmp_path / "segmenter.safetensors", torch.float32)
    assert is_headed(tmp_path)
    found = load_segmenter(tmp_path)
    assert all(map(torch.equal, found.parameters(), model.parameters()))
