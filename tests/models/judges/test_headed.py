"""A network in a file with its configuration: back again, and files that hold something else."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from latentgeo.models.judges.headed import is_headed, load_headed, write_headed
from latentgeo.models.lora import adapter as lora


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of a linear layer."""

    inp: int = 3
    out: int = 7


class Layer(nn.Linear):
    """A layer that knows its sizes, or says that they are others."""

    def __init__(self, config: Sizes, out: int | None = None) -> None:
        super().__init__(config.inp, out or config.out)
        self.config = config


def built(data: dict[str, Any]) -> Layer:
    return Layer(Sizes(**data))


def test_comes_back_frozen_and_in_float32(tmp_path):
    torch.manual_seed(0)
    layer = Layer(Sizes(inp=5, out=2))
    path = write_headed(layer, tmp_path / "x.safetensors", torch.float16)
    found = load_headed(path, "a layer", built)
    assert is_headed(path) and not found.training
    assert found.weight.dtype == torch.float32 and not found.weight.requires_grad
    assert torch.equal(found.weight, layer.weight.half().float())


def test_the_same_weights_are_the_same_bytes(tmp_path):
    """So that a file's hash says what was trained; notes, too, in the order they are given."""
    layer = Layer(Sizes())
    paths = [write_headed(layer, tmp_path / name, torch.float16) for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    net = nn.Sequential(layer)
    lora.attach(net, rank=2, targets="0")
    notes = {key: key for key in "abcdefgh"}
    paths = [lora.save_lora(tmp_path / name, net, notes=notes) for name in ("c", "d")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_is_no_such_file(tmp_path):
    """Missing, garbage, without a header, another configuration, other weights: all named."""
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError, match=r"x\.safetensors: no such file.*of a layer"):
        load_headed(path, "a layer", built)
    path.write_bytes(b"\0" * 20)
    assert not is_headed(path)
    with pytest.raises(ValueError, match=r"x\.safetensors: not a layer"):
        load_headed(path, "a layer", built)
    save_file(nn.Linear(3, 7).state_dict(), path)
    assert not is_headed(path) and not is_headed(tmp_path / "missing")
    with pytest.raises(ValueError, match="not a layer: 'config'"):
        load_headed(path, "a layer", built)
    write_headed(Layer(Sizes(), out=5), path, torch.float32)
    with pytest.raises(ValueError, match=r"not a layer: [\s\S]*size mismatch"):
        load_headed(path, "a layer", built)
    layer = Layer(Sizes())
    write_headed(layer, path, torch.float16)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({**layer.state_dict(), "bias": torch.ones(7).int()}, path, metadata)
    with pytest.raises(ValueError, match=r"bias is torch\.int32, wanted a floating-point tensor"):
        load_headed(path, "a layer", built)
