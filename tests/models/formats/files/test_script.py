"""A TorchScript archive's tensors without its program: PyTorch's own archives, and odd ones."""

import warnings
import zipfile

import pytest
import torch
from torch import nn

from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.script import ScriptFile, follow


class Leaf(nn.Module):
    """Two tensors and a few numbers, as the layers of FID's graph have them."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n, 3, 2))
        self.register_buffer("mean", torch.randn(n))
        self.padding, self.stride = [1, n], 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mean.sum() * self.padding[0] * self.stride


class Tree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = Leaf(5), nn.Sequential(Leaf(7), Leaf(11))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.first(x))


def saved(module, path):
    """Write an archive with PyTorch's own writer, of which it warns that it is on its way out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(path)
    return path


def changed(path, member, content):
    """Write the archive again with another content of one member, or without it."""
    other = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            data = content if name.endswith(member) else old.read(name)
            if data is not None:
                new.writestr(name, data)
    return other


@pytest.fixture(scope="module")
def tree():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tree()


@pytest.fixture(scope="module")
def archive(tree, tmp_path_factory):
    return saved(tree, tmp_path_factory.mktemp("script") / "tree.pt")


def test_every_tensor_of_a_written_archive_is_there(tree, archive):
    source, state = ScriptFile(archive), tree.state_dict()
    assert source.entries.keys() == state.keys()
    for name, tensor in state.items():
        assert source.entries[name].shape == tuple(tensor.shape)
        assert torch.equal(source.read(name), tensor)
        source.drop(name)


def test_one_of_another_family_is_refused_with_the_way_out(archive):
    with pytest.raises(ValueError, match=r"is not run here; it looks like .*torch\.jit\.load"):
        open_source(archive)


def test_other_kinds_of_numbers_are_refused(tree, tmp_path):
    path = saved(Tree().half(), tmp_path / "half.pt")
    with pytest.raises(ValueError, match=r"HalfStorage.*wanted 32-bit floats"):
        ScriptFile(path)


def test_a_tensor_that_is_part_of_another_is_refused(tmp_path):
    module = Leaf(5)
    module.mean = torch.randn(3, 5).T[2]
    with pytest.raises(ValueError, match=r"it calls .*_rebuild_tensor_v2"):
        ScriptFile(saved(module, tmp_path / "view.pt"))


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("data.pkl", None, r"data\.pkl has None bytes"),
        ("data.pkl", b"", r"data\.pkl has 0 bytes"),
        ("data.pkl", bytes(17 << 20), r"data\.pkl has 17825792 bytes"),
        ("data.pkl", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "opcode TUPLE1"),
        ("data.pkl", b"\x80\x02cos\nsystem\n)R.", r"it calls Name\(text='os system'\)"),
        ("data.pkl", b"\x80\x02cbuiltins\nobject\n)\x81.", "it makes an object of"),
        ("data.pkl", b"\x80\x02}}b.", "it sets attributes of what is no module"),
        ("data.pkl", b"\x80\x02K\x01.", "the whole is no module"),
        ("data.pkl", b"\x80\x02K\x01", "is not read"),
        ("data.pkl", b"\x80\x02h\x07.", "is not read"),
        ("data.pkl", b"\x80\x02}q\x00h\x00.", "it has one module in several places"),
        ("data/0", None, r"first\.weight is \(5, 3, 2\) of 120 bytes, and None are there"),
        ("data/0", bytes(119), "of 120 bytes, and 119 are there"),
    ],
)
def test_an_archive_that_is_changed_is_refused(archive, member, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        ScriptFile(changed(archive, member, content))
    assert "TorchScript archive that is not read" in str(caught.value)


def test_damaged_bytes_of_a_tensor_are_noticed(archive, tmp_path):
    """By the zip file's checksum, when the tensor is read."""
    with zipfile.ZipFile(archive) as whole:
        data = whole.read("tree/data/0")
    content = archive.read_bytes()
    assert content.count(data) == 1
    path = tmp_path / "damaged.pt"
    path.write_bytes(content.replace(data, bytes(len(data))))
    with pytest.raises(ValueError, match=r"first\.weight is damaged: Bad CRC"):
        ScriptFile(path).read("first.weight")


def test_nothing_is_looked_up_or_called():
    """A pickle that would import a module and call it leaves only names behind."""
    found = follow(b"\x80\x02(cantigravity\nfly\ncos\nsystem\nt.")
    assert [name.text for name in found] == ["antigravity fly", "os system"]
    import sys

    assert "antigravity" not in sys.modules
