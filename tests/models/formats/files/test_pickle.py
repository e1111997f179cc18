"""Pickles: tensors and plain containers only, mapped where they can be, refused with the reason."""

import pickle
import sys
import types
import zipfile
from pathlib import PurePosixPath

import numpy
import pytest
import torch

from latentgeo.models.formats.files import pickle as pickle_file
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.pickle import PickleFile, load_pickle

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(5, dtype=torch.float16)}
LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])


def saved(tmp_path, content, zipped=True):
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    return tmp_path / "x.ckpt"


@LAYOUTS
@pytest.mark.parametrize("nested", [True, False])
def test_reads_a_state_dict(tmp_path, zipped, nested):
    """On its own or under `state_dict`, where what is no tensor is passed over."""
    content = {"state_dict": STATE | {"n": 3}, "epoch": 7, "note": "text"} if nested else STATE
    source = PickleFile(saved(tmp_path, content, zipped))
    assert {name: entry.shape for name, entry in source.entries.items()} == {"a": (2, 3), "b": (5,)}
    assert source.metadata == ({"note": "text"} if nested else {})
    for name, tensor in STATE.items():
        assert torch.equal(source.read(name), tensor)
        assert source.entries[name].dtype == tensor.dtype
        source.drop(name)


@LAYOUTS
@pytest.mark.parametrize(
    "content",
    [
        [STATE, {"state": {}, "param_groups": [{"lr": 0.1}]}],
        (STATE, 3, STATE),
        {"model": STATE, "optimizer": {"state": {}}, "ema": STATE},
        {"model": STATE, "ema": {"decay": 0.9, "shadow": [torch.ones(2)]}},
    ],
    ids=["list", "list with average", "tables", "another average"],
)
def test_what_trainers_save_around_a_state_dict(tmp_path, content, zipped):
    """The weights, and behind `model_ema.` an average of them that is a state dict too."""
    source = PickleFile(saved(tmp_path, content, zipped))
    third = isinstance(content, tuple) or "optimizer" in content
    means = {f"model_ema.{name}" for name in STATE} if third else set()
    assert set(source.entries) == STATE.keys() | means
    for name, tensor in STATE.items():
        assert torch.equal(source.read(name), tensor)


@pytest.mark.parametrize("key", ["ema", "model_ema"])
def test_an_average_alone_is_used_and_said(tmp_path, key):
    path = saved(tmp_path, {key: STATE, "step": 3})
    with pytest.warns(UserWarning, match=r"x\.ckpt has the running average of the weights alone"):
        source = PickleFile(path)
    assert source.entries.keys() == STATE.keys() and torch.equal(source.read("a"), STATE["a"])


def test_a_mapped_file_is_mapped_anew_after_many_drops(tmp_path, monkeypatch):
    """The mapping of what was dropped is let go of, and every tensor can still be read."""
    monkeypatch.setattr(pickle_file, "AT_ONCE", 20)
    monkeypatch.setattr(pickle_file, "SHARE", 10**9)
    loads = []
    monkeypatch.setattr(
        pickle_file, "load_pickle", lambda path: loads.append(path) or load_pickle(path)
    )
    source = PickleFile(saved(tmp_path, STATE))
    for _ in range(2):
        for name, tensor in STATE.items():
            assert torch.equal(source.read(name), tensor)
            source.drop(name)
    assert len(loads) == 3  # the first, and after each time that more than 20 bytes were dropped


def test_the_class_that_published_files_name_is_inert(tmp_path, monkeypatch):
    """Stable Diffusion's .ckpt has a trainer's class as a key; nothing is imported for it."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    content = {"state_dict": STATE, "callbacks": {module.ModelCheckpoint: {"best": 1.5}}}
    with monkeypatch.context() as patched:
        for parent in (name, name.rpartition(".")[0], name.partition(".")[0]):
            patched.setitem(sys.modules, parent, module)
        path = saved(tmp_path, content)
    assert torch.equal(PickleFile(path).read("a"), STATE["a"])
    assert "pytorch_lightning" not in sys.modules


@LAYOUTS
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_numbers_of_numpy_beside_the_weights_are_passed_over(tmp_path, zipped, core):
    """Scalars and arrays, named as by numpy 1 and 2; nothing of numpy is called for them."""
    beside = {"best": numpy.float64(0.25), "n": numpy.int64(3), "losses": numpy.arange(3.0)}
    path = saved(tmp_path, {"state_dict": STATE, **beside, "note": "kept"}, zipped)
    named = path.read_bytes()
    assert b"multiarray" in named
    other = "numpy._core" if numpy.__version__.startswith("2") else "numpy.core"
    if core != other and not zipped:
        path.write_bytes(named.replace(f"c{other}.".encode(), f"c{core}.".encode()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(numpy, "dtype", None)
        source = PickleFile(path)
    assert source.entries.keys() == STATE.keys() and source.metadata == {"note": "kept"}
    assert torch.equal(source.read("a"), STATE["a"])


@LAYOUTS
def test_a_pickle_that_needs_more_is_refused_by_name(tmp_path, zipped):
    path = saved(tmp_path, {"state_dict": STATE, "where": PurePosixPath("x")}, zipped)
    with pytest.raises(
        ValueError, match=r"refused, since its pickle needs pathlib\.\w*PurePosixPath"
    ):
        PickleFile(path)


class Bomb:
    def __reduce__(self):
        return (sys.exit, (3,))


def test_a_pickle_that_would_run_code_does_not(tmp_path):
    path = tmp_path / "bomb.pt"
    path.write_bytes(pickle.dumps({"state_dict": Bomb()}, protocol=2))
    with pytest.raises(ValueError, match=r"bomb\.pt: "):
        load_pickle(path)
    with pytest.raises(ValueError, match=r"refused, since its pickle needs sys\.exit"):
        load_pickle(saved(tmp_path, Bomb()))


def test_a_torchscript_archive_is_refused_with_a_way_out(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/constants.pkl", b"")
        archive.writestr("model/code/__torch__.py", "def forward(self): pass")
    with pytest.raises(ValueError, match=r"TorchScript archive: .*torch\.jit\.load\('FILE'\)"):
        PickleFile(path)


@LAYOUTS
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.02])
def test_a_truncated_file_is_named(tmp_path, zipped, kept):
    path = saved(tmp_path, {"x": torch.rand(1000)}, zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ValueError, match=r"x\.ckpt: not a whole file of torch\.save: .+"):
        PickleFile(path)


@pytest.mark.parametrize("content", [[], [1, 2], [{}], {"a": 1}, {"state_dict": 3}, torch.ones(2)])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="holds no state dict"):
        PickleFile(saved(tmp_path, content))


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_sparse_tensors_are_refused(tmp_path):
    with pytest.raises(ValueError, match="b is sparse or quantized"):
        PickleFile(saved(tmp_path, STATE | {"b": torch.eye(3).to_sparse()}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        load_pickle(tmp_path / "gone.pt")


@pytest.mark.parametrize("scripted", [True, False], ids=["TorchScript", "torch.save"])
@pytest.mark.parametrize("end", ["pt", "bin"])
def test_a_damaged_zip_directory_is_one_error(tmp_path, scripted, end):
    """Each byte of it changed in turn: the file is as it was, or the error names it."""
    path = saved(tmp_path, STATE).rename(tmp_path / f"x.{end}")
    if scripted:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("x/constants.pkl", b"")
    whole, said = path.read_bytes(), set()
    start = whole.index(b"PK\x01\x02")
    for at in range(start, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xA5]) + whole[at + 1 :])
        try:
            source = open_source(path)
            assert all(torch.equal(source.read(name), value) for name, value in STATE.items())
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            said.add(str(error))
    assert any("its zip directory is damaged: " in one for one in said)
