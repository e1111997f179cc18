"""Files of f_t: the released ones beside an evaluation of their tensors, both ways, refusals."""

from pathlib import Path

import pytest
import torch

from latentgeo.models.bundles.delta_h import (
    DirectionTable,
    GlobalDirection,
    ImplicitDirection,
    ImplicitDirectionADM,
)
from latentgeo.models.formats.delta_file import (
    Purpose,
    read_direction,
    read_purpose,
    write_direction,
)
from latentgeo.models.formats.files.safetensors import SafeFile
from tests.models.bundles.test_delta_h import adm_layout, ddpm_layout

RELEASED = Path(__file__).parents[3].parent / "shared" / "assets" / "asyrp-ft"
FILES = {
    "smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth": (ImplicitDirection, ddpm_layout),
    "church_gothic_LC_church_outdoor_t999_ninv40_ngen40_0.pth": (ImplicitDirection, ddpm_layout),
    "dog_happy_LC_dog_t999_ninv40_ngen40_0.pth": (ImplicitDirectionADM, adm_layout),
    "metface_smiling_LC_metfaces_t999_ninv40_ngen40_0.pth": (ImplicitDirectionADM, adm_layout),
}


@pytest.mark.parametrize("file", FILES)
def test_released_files_give_what_their_tensors_say(file):
    """Asyrp Sec. 3.4, on random h and temb: the stored tensors, evaluated in float64, to 1e-6."""
    path, (kind, definition) = RELEASED / file, FILES[file]
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    direction = read_direction(path)
    assert type(direction) is kind and not any(w.requires_grad for w in direction.parameters())
    stored = torch.load(path, map_location="cpu", weights_only=True)["0"]
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(2, 512, 3, 5, generator=generator)
    temb = torch.randn(2, 512, generator=generator)
    wanted = definition({k: v.double() for k, v in stored.items()}, h.double(), temb.double(), 32)
    found = direction(h, temb, torch.tensor([1, 2])).double()
    assert (found - wanted).norm() < 1e-6 * wanted.norm()


@pytest.mark.parametrize("kind", [ImplicitDirection, ImplicitDirectionADM])
@pytest.mark.parametrize("name", ["f.pth", "f.pt", "f.safetensors"])
def test_both_ways(tmp_path, kind, name):
    """Every layout is written and read back bit for bit."""
    torch.manual_seed(0)
    made = kind(8, 6)
    found = read_direction(write_direction(tmp_path / name, made))
    assert type(found) is kind
    for key, value in made.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


def test_what_is_no_f_t_is_refused(tmp_path):
    state = ImplicitDirection(8, 6).state_dict()

    def file(found):
        torch.save(found, tmp_path / "f.pth")
        return tmp_path / "f.pth"

    less = {name: value for name, value in state.items() if name != "norm2.bias"}
    with pytest.raises(ValueError, match=r"missing norm2\.bias"):
        read_direction(file({"0": less}))
    with pytest.raises(ValueError, match="unexpected extra"):
        read_direction(file({"0": state | {"extra": torch.zeros(1)}}))
    with pytest.raises(ValueError, match=r"conv2\.weight is \(3,\), wanted \(8, 8, 1, 1\)"):
        read_direction(file(state | {"conv2.weight": torch.zeros(3)}))
    with pytest.raises(
        ValueError, match=r"is no direction: got tensors weight …, wanted conv1\.weight and"
    ):
        read_direction(file({"weight": torch.zeros(1)}))
    with pytest.raises(ValueError, match="wanted tensors by name, or a table '0' of them"):
        read_direction(file({"0": 7}))
    with pytest.raises(FileNotFoundError):
        read_direction(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="wanted a name that ends in"):
        write_direction(tmp_path / "f.bin", ImplicitDirection(8, 6))


@pytest.mark.parametrize(
    "made",
    [DirectionTable([900, 7], torch.randn(2, 3, 5, 7)), GlobalDirection(torch.randn(3, 5, 7))],
    ids=["table", "global"],
)
def test_shifts_and_what_they_are_for(tmp_path, made):
    about = Purpose(name="smile", source="face", target="smiling face", similarity=0.9, S=40)
    path = write_direction(tmp_path / "x.safetensors", made, about)
    found = read_direction(path)
    assert type(found) is type(made) and not any(w.requires_grad for w in found.parameters())
    for key, value in made.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key
    assert read_purpose(path) == about
    bare = write_direction(tmp_path / "bare.pth", ImplicitDirection(8, 6))
    assert read_purpose(bare) == Purpose(name="bare")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        read_purpose(tmp_path / "none.pth")


def test_a_file_says_its_layer_where_it_is_not_the_bottleneck(tmp_path):
    """Files of h are what they were; one without a layer is of h."""
    made = GlobalDirection(torch.randn(3, 5, 7))
    for layer in ("h", "up.2", "eps"):
        about = Purpose(name="smile", layer=layer)
        path = write_direction(tmp_path / f"{layer}.safetensors", made, about)
        assert read_purpose(path) == about
        assert ("layer" in SafeFile(path).metadata["latentgeo"]) == (layer != "h")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize(
    "made", [ImplicitDirection(8, 6), GlobalDirection(torch.ones(3, 5, 7))], ids=["f_t", "global"]
)
def test_weights_of_another_kind_are_refused(tmp_path, made, dtype):
    state = {key: value.detach().to(dtype) for key, value in made.state_dict().items()}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=rf"x\.pth does not fit: .* is {dtype}, wanted a floating"):
        read_direction(tmp_path / "x.pth")
