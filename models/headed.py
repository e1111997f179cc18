"""A network of this project in one file: safetensors, with its configuration in the header."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from latentgeo.core.files import atomic_write

CONFIG = "config"  # key of the configuration in the header


def write_headed(model: nn.Module, config: Any, path: Path, dtype: torch.dtype) -> Path:
    """Write a network's weights in a dtype, and its configuration (a dataclass), atomically."""
    state = {name: weight.to(dtype).contiguous() for name, weight in model.state_dict().items()}
    return atomic_write(path, save(state, {CONFIG: json.dumps(asdict(config))}))


def read_headed(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the plain configuration in a file's header, and its weights in float32 on the CPU."""
    with safe_open(path, "pt") as file:
        data = json.loads((file.metadata() or {})[CONFIG])
        return data, {name: file.get_tensor(name).float() for name in file.keys()}


def refuse_unknown(data: Mapping[str, Any], cls: type[Any]) -> None:
    """Raise ValueError that names a key which is no field of a dataclass."""
    if unknown := set(data) - {known.name for known in fields(cls)}:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}")
