"""A network in a file with its configuration: back again, and files that hold something else."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from latentgeo.models.headed import is_headed, load_headed, write_headed


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of a linear layer."""

    inp: int = 3
    out: int = 7


def built(data: dict[str, Any]) -> nn.Linear:
    sizes = Sizes(**data)
    return nn.Linear(sizes.inp, sizes.out)


def test_comes_back_frozen_and_in_float32(tmp_path):
    torch.manual_seed(0)
    layer = nn.Linear(5, 2)
    path = write_headed(layer, Sizes(inp=5, out=2), tmp_path / "x.safetensors", torch.float16)
    found = load_headed(path, "a layer", built)
    assert is_headed(path) and not found.training
    assert found.weight.dtype == torch.float32 and not found.weight.requires_grad
    assert torch.equal(found.weight, layer.weight.half().float())


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
    write_headed(nn.Linear(3, 5), Sizes(), path, torch.float32)
    with pytest.raises(ValueError, match=r"not a layer: [\s\S]*size mismatch"):
        load_headed(path, "a layer", built)
