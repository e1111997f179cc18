"""Views of files: the average in the weights' place, and q, k, v apart."""

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.formats.files.open import files_of, open_source
from latentgeo.models.formats.files.views import Averaged, Unpacked

STATE = {"a": torch.arange(3.0), "b": torch.arange(5.0)}
MEAN = {f"model_ema.{name}": -value for name, value in STATE.items()}


def opened(tmp_path, state):
    save_file(state, tmp_path / "x.safetensors", {"note": "text"})
    return open_source(tmp_path / "x.safetensors")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_average_is_in_the_weights_place_where_wanted(tmp_path, wanted):
    source = opened(tmp_path, STATE | MEAN | {"model_ema.decay": torch.ones(1)})
    view = Averaged(source, lambda name: f"model_ema.{name}", wanted)
    assert view.entries.keys() == STATE.keys() and view.averaged == wanted
    assert view.path == source.path and view.metadata == {"note": "text"}
    for name, value in STATE.items():
        assert torch.equal(view.read(name), -value if wanted else value)
        view.drop(name)


def test_without_an_average_weights_are_as_they_are(tmp_path):
    view = Averaged(opened(tmp_path, STATE), lambda name: f"model_ema.{name}")
    assert torch.equal(view.read("b"), STATE["b"]) and not view.averaged


def test_a_weight_may_have_no_average_but_not_be_left_out_of_one(tmp_path):
    source = opened(tmp_path, STATE | {"model_ema.a": -STATE["a"]})
    view = Averaged(source, lambda name: "model_ema.a" if name == "a" else None)
    assert torch.equal(view.read("a"), -STATE["a"]) and torch.equal(view.read("b"), STATE["b"])
    with pytest.raises(ValueError, match=r"lacks model_ema\.b and 0 more; .*--no-ema-weights"):
        Averaged(source, lambda name: f"model_ema.{name}")


class Counted:
    """A source that says what was dropped."""

    def __init__(self, source):
        self.path, self.metadata, self.entries = source.path, source.metadata, source.entries
        self.read, self.dropped = source.read, []

    def drop(self, name):
        self.dropped.append(name)


def test_thirds_of_a_packed_tensor_are_those_of_each_head(tmp_path):
    """Of 2 heads of width 3: rows 0-2 are q of the first, 3-5 its k, 9-11 q of the second."""
    rows = torch.arange(18.0)
    state = {"x.qkv.weight": rows[:, None].repeat(1, 6), "x.qkv.bias": rows, "y": torch.ones(2)}
    source = Counted(opened(tmp_path, state))
    view = Unpacked(source, lambda channels: channels // 3)
    assert view.entries["x.q.weight"].shape == (6, 6) and view.entries["x.v.bias"].shape == (6,)
    assert set(view.entries) == {f"x.{i}.{kind}" for i in "qkv" for kind in ("weight", "bias")} | {
        "y"
    }
    assert view.read("x.q.bias").tolist() == [0, 1, 2, 9, 10, 11]
    assert view.read("x.k.bias").tolist() == [3, 4, 5, 12, 13, 14]
    view.drop("x.q.bias")
    assert source.dropped == []  # until its last third is read
    assert view.read("x.v.weight")[:, 5].tolist() == [6, 7, 8, 15, 16, 17]
    assert view.read("x.v.bias").tolist() == [6, 7, 8, 15, 16, 17]
    assert source.dropped == ["x.qkv.bias"]
    view.drop("y")
    assert source.dropped[-1] == "y" and torch.equal(view.read("y"), torch.ones(2))


def test_what_is_not_three_things_stays_one(tmp_path):
    state = {"x.qkv.bias": torch.ones(7), "qkv.weight": torch.ones(3)}
    view = Unpacked(opened(tmp_path, state), lambda channels: 1)
    assert set(view.entries) == set(state)


WRAPPED = ("_orig_mod.", "module.", "_orig_mod.module.", "module._orig_mod.")


@pytest.mark.parametrize("prefix", WRAPPED)
def test_names_are_without_their_wrappers(tmp_path, prefix):
    """Before the name, and within it where a part was wrapped; what is no wrapper stays."""
    state = {
        f"{prefix}a": STATE["a"],
        f"x.{prefix}b": STATE["b"],
        "c.modules.module": torch.ones(2),
    }
    source = opened(tmp_path, state)
    assert source.entries.keys() == {"a", "x.b", "c.modules.module"}
    assert torch.equal(source.read("x.b"), STATE["b"])
    source.drop("x.b")
    assert files_of(source) == [tmp_path / "x.safetensors"]


def test_two_tensors_of_one_bare_name_keep_their_names(tmp_path):
    state = {"a": STATE["a"], "module.a": STATE["b"]}
    assert opened(tmp_path, state).entries.keys() == state.keys()
