"""DDPM's and ADM's own files: published names once, wrapped and averaged, bit for bit, refused."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.bundles.image_config import plain_config
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.source import Entry
from latentgeo.models.formats.files.strict import problems
from latentgeo.models.formats.ldm.file import CONFIG
from latentgeo.models.formats.ldm.presets import config_of
from latentgeo.models.formats.unet_file import read_unet_file, unet_layout, write_unet_file
from tests.models.bundles.test_image_model import CONFIGS, made, same

PUBLISHED = {
    "ddpm_celebahq256_original": "ddpm-celebahq256",
    "adm_imagenet256_uncond": "adm-imagenet256-unconditional",
    "adm_ffhq256_p2": "p2-256",
}
each = pytest.mark.parametrize("name", ["ddpm", "adm"])


@pytest.fixture
def model(name):
    return made(CONFIGS[name])


@dataclass
class Listed:
    """A file of which only the names and shapes are known."""

    path: str
    entries: dict[str, Entry]
    metadata: ClassVar[dict[str, str]] = {}


@pytest.mark.parametrize("file", PUBLISHED)
def test_every_published_tensor_is_asked_for_once(manifest, file):
    """And tells which model it is of."""
    shapes = {key: tuple(shape) for key, shape in manifest(file)["keys"].items()}
    wanted = IMAGE_PRESETS[PUBLISHED[file]]
    layout = unet_layout(wanted)
    assert {at.name: at.shape for at in layout.values()} == shapes
    assert len(layout) == len(shapes)
    source = Listed(file, {key: Entry(torch.float32, shape) for key, shape in shapes.items()})
    found = config_of(source, wanted.network, lambda c: problems(source, unet_layout(c)))
    assert found == wanted


@each
@pytest.mark.parametrize("ending", ["safetensors", "pt", "ckpt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_round_trip_is_bit_exact(model, name, ending, dtype, tmp_path):
    path = write_unet_file(model, tmp_path / f"x.{ending}", dtype)
    given = None if ending == "safetensors" else CONFIGS[name]  # the others hold tensors alone
    back = read_unet_file(path, dtype=None, config=given)
    assert same(back, model.to("cpu", dtype))
    again = write_unet_file(back, tmp_path / f"again.{ending}")
    assert same(read_unet_file(again, dtype=None, config=given), back)


def wrapped(model, how: str) -> object:
    """Return a model's weights as trainers save them, and where it has one its average, negated."""
    state = model.unet.state_dict()
    mean = {key: -value for key, value in state.items()}
    parallel = {f"module.{key}": value for key, value in state.items()}
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "list": [state, optimizer],  # SDEdit
        "alone": [state],
        "tuple": (parallel, optimizer, 1, 2),
        "ddim": [parallel, optimizer, 10, 500, mean],
        "parallel": parallel,
        "lightning": {"state_dict": state, "epoch": 3},
        "model": {"model": parallel, "optimizer": optimizer, "ema": mean},
        "parallel average": [parallel, optimizer, {f"module.{k}": v for k, v in mean.items()}],
    }[how]


@each
@pytest.mark.parametrize("how", ["list", "alone", "tuple", "parallel", "lightning"])
def test_weights_in_their_wrappings(model, name, how, tmp_path):
    """What several GPUs and trainers put around a state dict."""
    torch.save(wrapped(model, how), tmp_path / "x.ckpt")
    assert same(read_unet_file(tmp_path / "x.ckpt", config=CONFIGS[name]), model)


@each
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("how", ["ddim", "model", "parallel average"])
def test_the_running_average_is_taken_unless_it_is_not_wanted(model, name, how, zipped, tmp_path):
    path = tmp_path / "x.pt"
    torch.save(wrapped(model, how), path, _use_new_zipfile_serialization=zipped)
    average = read_unet_file(path, config=CONFIGS[name])
    for key, value in model.unet.state_dict().items():
        assert torch.equal(average.unet.state_dict()[key], -value)
    assert same(read_unet_file(path, config=CONFIGS[name], ema=False), model)


def test_a_torso_in_sixteen_bits_stays_one(tmp_path):
    """The layout that ADM runs in: its convolutions in float16, all else in float32."""
    model = made(CONFIGS["adm"])
    model.unet.torso_to(torch.float16)
    back = read_unet_file(write_unet_file(model, tmp_path / "x.safetensors"), dtype=None)
    assert same(back, model)
    kinds = {value.dtype for value in back.unet.state_dict().values()}
    assert kinds == {torch.float16, torch.float32}
    x, t, labels = torch.randn(2, 3, 10, 10), torch.tensor([3, 200]), torch.tensor([1, 2])
    torch.testing.assert_close(back.predict(labels)(x, t), model.predict(labels)(x, t))
    full = read_unet_file(tmp_path / "x.safetensors")
    assert {p.dtype for p in full.unet.parameters()} == {torch.float32}


@each
def test_all_that_is_wrong_is_one_error(model, name, tmp_path):
    state = model.unet.state_dict()
    keys = list(state)
    removed, odd = keys[3], keys[5]
    del state[removed]
    state |= {"stranger": torch.ones(2), odd: torch.ones(3)}
    metadata = {CONFIG: json.dumps(plain_config(CONFIGS[name]))}
    save_file(state, tmp_path / "x.safetensors", metadata)
    with pytest.raises(ValueError) as caught:
        read_unet_file(tmp_path / "x.safetensors")
    said = str(caught.value)
    assert f"held against {name}; " in said and f"missing {removed} " in said
    assert "unexpected stranger (2,)" in said and f"{odd} is (3,), wanted " in said


def test_other_families_and_configurations_are_refused(tmp_path):
    save_file({"lora_unet_mid_block.lora_up.weight": torch.ones(8, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="looks like LoRA, wanted a UNet of DDPM or ADM alone"):
        read_unet_file(tmp_path / "x.safetensors")
    path = write_unet_file(made(CONFIGS["ddpm"]), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="of the network ddpm, and adm of adm"):
        read_unet_file(path, config=CONFIGS["adm"])
    with pytest.raises(ValueError, match="ldm is not a UNet of DDPM or ADM alone"):
        write_unet_file(made(CONFIGS["ldm"]), path)


def test_a_pickle_is_a_state_dict_and_nothing_else(tmp_path):
    """The authors' programs load it with `load_state_dict` as it is."""
    model = made(CONFIGS["ddpm"])
    path = write_unet_file(model, tmp_path / "x.pt")
    state = torch.load(path, weights_only=True)
    assert state.keys() == model.unet.state_dict().keys()
    source = open_source(path)
    assert not source.metadata
    with pytest.raises(ValueError, match="is none of ddpm-celebahq256, ddpm-cifar10; give --model"):
        read_unet_file(path)


def test_a_wrong_shape_of_the_network_is_told(tmp_path):
    """A configuration that differs in one width."""
    path = write_unet_file(made(CONFIGS["ddpm"]), tmp_path / "x.pt")
    unet = replace(CONFIGS["ddpm"].unet, channels=(8, 12, 24))
    with pytest.raises(ValueError, match=r"held against ddpm; down\.2\.block\.0\.conv1\.weight is"):
        read_unet_file(path, config=replace(CONFIGS["ddpm"], unet=unet))
