"""A network of this project in one file: safetensors, with its configuration in the header."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from latentgeo.models.formats.files.runs import left_in
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.strict import no_weight, refuse

CONFIG = "config"  # key of the configuration in the header
Network = TypeVar("Network", bound=nn.Module)


def write_headed(model: nn.Module, path: Path, dtype: torch.dtype) -> Path:
    """Write a network's weights in a dtype, and its `config` (a dataclass), atomically."""
    config: Any = model.config
    state = {name: weight.to(dtype) for name, weight in model.state_dict().items()}
    return write_safetensors(path, state, {CONFIG: json.dumps(asdict(config))})


def load_headed(path: Path, kind: str, build: Callable[[dict[str, Any]], Network]) -> Network:
    """Return the network in a file, frozen, in float32 on the CPU.

    `build` makes it of the plain configuration in the header, `kind` is what errors call it, with
    its article. Raises FileNotFoundError, or ValueError where the file holds something else.
    """
    if path.is_dir():
        path = left_in(path, ("*.safetensors",), kind.removeprefix("a "))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, wanted the weights of {kind}")
    try:
        with safe_open(path, "pt") as file:
            model = build(json.loads((file.metadata() or {})[CONFIG]))
            state = {name: file.get_tensor(name) for name in file.keys()}
            refuse(kind, [said for name, t in state.items() for said in no_weight(name, t.dtype)])
            model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except Exception as error:  # safetensors, KeyError, JSON and shape errors all mean a wrong file
        raise ValueError(f"{path}: not {kind}: {error}") from None
    return model.eval().requires_grad_(False)


def is_headed(path: Path) -> bool:
    """Whether a path is a file with such a header, or a training's folder with one alone."""
    if path.is_dir():
        return any(map(is_headed, path.glob("*.safetensors")))
    if not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as file:
            return CONFIG in (file.metadata() or {})
    except SafetensorError:
        return False
