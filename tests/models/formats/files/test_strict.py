"""Strict loading: one error for everything that is wrong, NaN by name, and memory at the peak."""

import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.strict import (
    Stored,
    as_stored,
    fault_of,
    fill,
    own_layout,
    problems,
    refuse,
)

SIDE = 7


def net(device: str = "cpu") -> nn.Sequential:
    with torch.device(device):
        return nn.Sequential(*(nn.Linear(SIDE, SIDE) for _ in range(13)))


def opened(tmp_path, state):
    save_file(state, tmp_path / "file.safetensors")
    return open_source(tmp_path / "file.safetensors")


def test_a_module_without_weights_is_filled_bit_for_bit(tmp_path):
    model, empty = net(), net("meta")
    source = opened(tmp_path, model.state_dict())
    layout = own_layout(empty.state_dict())
    assert problems(source, layout) == []
    fill(empty, source, layout)
    for key, value in model.state_dict().items():
        assert torch.equal(empty.state_dict()[key], value)
    assert torch.equal(empty(torch.ones(2, SIDE)), model(torch.ones(2, SIDE)))


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("wanted", [None, torch.float16, torch.float32])
def test_dtypes_are_kept_or_converted_as_torch_does(tmp_path, stored, wanted):
    state = {key: value.to(stored) for key, value in net().state_dict().items()}
    empty = net("meta")
    fill(empty, opened(tmp_path, state), own_layout(state), dtype=wanted)
    for key, value in empty.state_dict().items():
        assert value.dtype == (wanted or stored)
        assert torch.equal(value, state[key].to(wanted or stored))


def test_other_names_and_shapes(tmp_path):
    """A layout says how the file has a tensor; the module gets it in its own shape."""
    state = nn.Linear(3, 5).state_dict()
    source = opened(tmp_path, {"w": state["weight"][:, :, None, None], "b": state["bias"]})
    layout = {"weight": Stored("w", (5, 3, 1, 1)), "bias": Stored("b", (5,))}
    assert not problems(source, layout)
    model = nn.Linear(3, 5, device="meta")
    fill(model, source, layout)
    assert torch.equal(model.weight, state["weight"]) and torch.equal(model.bias, state["bias"])


def fused() -> tuple[dict[str, torch.Tensor], dict[str, Stored], nn.Module]:
    """A state with three layers in one tensor and one transposed, its layout, and the module."""
    torch.manual_seed(0)
    module = nn.ModuleDict({name: nn.Linear(3, 5, bias=False) for name in "qkvo"})
    layout = {f"{n}.weight": Stored("qkv", (15, 3), (i, 3)) for i, n in enumerate("qkv")}
    layout["o.weight"] = Stored("o", (3, 5), transposed=True)
    weights = [module[name].weight.detach() for name in "qkv"]
    return {"qkv": torch.cat(weights), "o": module["o"].weight.detach().T}, layout, module


@pytest.mark.parametrize("kind", ["safetensors", "zip", "old"])
@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_parts_of_one_tensor_and_transposed_ones(tmp_path, kind, dtype):
    """The second of three equal parts is read after the first was dropped, also of an old file."""
    state, layout, module = fused()
    path = tmp_path / "file"
    plain = {name: tensor.contiguous() for name, tensor in state.items()}
    if kind == "safetensors":
        save_file(plain, path)
    else:
        torch.save(plain, path, _use_new_zipfile_serialization=kind == "zip")
    empty = nn.ModuleDict({n: nn.Linear(3, 5, bias=False, device="meta") for n in "qkvo"})
    source = open_source(path)
    assert not problems(source, layout)
    fill(empty, source, layout, dtype=dtype)
    for key, value in module.state_dict().items():
        assert torch.equal(empty.state_dict()[key], value.to(dtype or torch.float32))
        assert empty.state_dict()[key].is_contiguous()
    back = as_stored(module.state_dict(), layout)
    assert back.keys() == plain.keys() and all(torch.equal(back[n], plain[n]) for n in plain)


def test_tensors_that_a_file_leaves_out_are_given(tmp_path):
    state = nn.Linear(3, 5).state_dict()
    layout = {"weight": Stored("weight", (5, 3))}
    source = opened(tmp_path, {"weight": state["weight"]})
    model = nn.Linear(3, 5, device="meta")
    fill(model, source, layout, given={"bias": torch.ones(5)})
    assert torch.equal(model.bias, torch.ones(5)) and torch.equal(model.weight, state["weight"])
    with pytest.raises(RuntimeError, match="bias"):
        fill(nn.Linear(3, 5, device="meta"), source, layout)


def test_one_error_lists_missing_unexpected_shapes_and_kinds(tmp_path):
    state = net().state_dict()
    del state["3.weight"], state["5.bias"]
    state |= {"extra": torch.ones(2), "0.bias": torch.ones(3), "passed": torch.ones(1)}
    state["1.bias"] = torch.ones(SIDE, dtype=torch.int64)
    source = opened(tmp_path, state)
    said = problems(source, own_layout(net().state_dict()), lambda name: name == "passed")
    assert sorted(said) == [
        "0.bias is (3,), wanted (7,)",
        "1.bias is torch.int64, wanted a floating-point tensor",
        "missing 3.weight (7, 7)",
        "missing 5.bias (7,)",
        "unexpected extra (2,)",
    ]
    with pytest.raises(
        ValueError, match=r"^here does not fit: it is odd; 0\.bias is .*extra \(2,\)$"
    ):
        refuse("here", said, "it is odd; ")


def test_twenty_problems_are_listed_and_the_rest_counted(tmp_path):
    said = problems(opened(tmp_path, {"x": torch.ones(1)}), own_layout(net().state_dict()))
    with pytest.raises(ValueError) as caught:
        refuse("it", said)
    assert str(caught.value).count("missing") == 20
    assert str(caught.value).endswith("; and 7 more, 27 in all")


def test_no_problems_are_no_error():
    refuse("it", [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_nan_and_infinite_weights_are_warned_of_by_name(tmp_path, dtype):
    state = {key: value.to(dtype) for key, value in net().state_dict().items()}
    state["2.weight"][0, :2] = float("nan")
    state["4.bias"][1] = float("-inf")
    model = net("meta")
    with pytest.warns(UserWarning, match=r"2\.weight has 2 NaN values; 4\.bias has 1 infinite val"):
        fill(model, opened(tmp_path, state), own_layout(state))
    assert model[2].weight[0, 0].isnan()


def test_values_that_a_conversion_makes_infinite_are_warned_of(tmp_path):
    state = net().state_dict()
    state["0.bias"][3] = 1e6  # float16 ends at 65504
    with pytest.warns(UserWarning, match=r"0\.bias has 1 infinite values"):
        fill(net("meta"), opened(tmp_path, state), own_layout(state), dtype=torch.float16)


def test_large_finite_weights_are_no_fault():
    """Their sum would overflow, and they do not."""
    assert fault_of(torch.zeros(0)) == ""
    assert fault_of(torch.full((4,), 3e38)) == ""
    assert fault_of(torch.full((9,), 6e4, dtype=torch.float16)) == ""
    assert (
        fault_of(torch.tensor([3e38, float("inf"), float("nan")])) == "1 NaN and 1 infinite values"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fault_of(torch.ones(3, dtype=torch.float8_e4m3fn)) == ""


PEAK = """
import re, sys, torch
from pathlib import Path
from torch import nn
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.strict import fill, own_layout, problems

def memory(kind):  # bytes; the process's own, where getrusage begins with its parent's
    return 1024 * int(re.search(kind + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

path, dtype, layers = sys.argv[1], getattr(torch, sys.argv[2]), int(sys.argv[3])
with torch.device("meta"):
    model = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(layers)))
torch.ones(300, 300, dtype=torch.float16).to(dtype).sum()  # what torch sets up once
before = memory("VmRSS")
source = open_source(Path(path))
assert not problems(source, own_layout(model.state_dict()))
fill(model, source, own_layout(model.state_dict()), dtype=dtype)
print((memory("VmHWM") - before) / sum(p.nbytes for p in model.parameters()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "stored"),
    [("safetensors", "float16"), ("safetensors", "float32"), ("ckpt", "float16")],
)
def test_loading_takes_the_models_size_and_little_more(tmp_path, kind, stored):
    """At most 1.15 of the model's size, whether it is converted (64 MiB to 128 MiB) or mapped."""
    layers = 32
    weight = torch.rand(1024, 1024).to(getattr(torch, stored))
    state = {f"{i}.weight": weight.clone() for i in range(layers)}
    state |= {f"{i}.bias": weight[0].clone() for i in range(layers)}
    path = tmp_path / f"model.{kind}"
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    command = [sys.executable, "-c", PEAK, str(path), "float32", str(layers)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0.9 < float(done.stdout) <= 1.15, done.stdout
    print(f"{kind} {stored}: {float(done.stdout):.3f}")
