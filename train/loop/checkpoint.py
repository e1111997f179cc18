"""Checkpoints of a training run: whole or absent, checked when read.

A checkpoint is a folder `step-00001000` with `state.pt` (tensors, numbers and text only; read
with `weights_only=True`) and `sha256`, its digest. It is written under a temporary name and renamed
into place, so that a process that dies while writing leaves the one before it untouched. A damaged
newest checkpoint is reported, and the one before it is used.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write, sha256
from latentgeo.core.run.text import read_text

STATE, DIGEST, PREFIX = "state.pt", "sha256", "step-"


def folder_of(out: Path) -> Path:
    """Return the folder of a run's checkpoints, inside that of the run."""
    return out / "checkpoints"


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first, without temporary names."""
    found = [p for p in folder.glob(f"{PREFIX}*") if p.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says."""
    return int(path.name.removeprefix(PREFIX))


def save(folder: Path, step: int, state: Mapping[str, Any], keep: int) -> Path:
    """Write the checkpoint of a step, remove all but the newest `keep`, and return its path.

    An `OSError` leaves nothing of it behind.
    """
    path, temporary = folder / f"{PREFIX}{step:08d}", folder / f".{PREFIX}{step:08d}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        written = atomic_write(temporary / STATE, lambda file: torch.save(dict(state), file))
        atomic_write(temporary / DIGEST, sha256(written) + "\n")
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if path.exists():
        shutil.rmtree(path)
    os.replace(temporary, path)
    _sync(folder)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return path


def load(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint, on the CPU; `ValueError` if it is not what was written."""
    if not (path / DIGEST).is_file() or not (path / STATE).is_file():
        raise ValueError(f"checkpoint {path} is incomplete")
    if sha256(path / STATE) != read_text(path / DIGEST).strip():
        raise ValueError(f"checkpoint {path} is damaged: its digest differs")
    state: dict[str, Any] = torch.load(path / STATE, map_location="cpu", weights_only=True)
    return state


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest whole checkpoint's state, None if there is no checkpoint at all.

    A damaged one is reported and passed over; `RuntimeError` if every one is damaged.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return load(path)
        except ValueError as error:
            print(f"{error}; trying the one before it", flush=True)
    if found:
        raise RuntimeError(f"every checkpoint in {folder} is damaged; begin again in another --out")
    return None


def clear_temporary(folder: Path) -> None:
    """Remove what a process that died while writing left behind."""
    for path in folder.glob(f".{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


@torch.no_grad()
def load_weights(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into parameters of any shape, by name, in place.

    Raises `ValueError` naming a tensor that only one side has, or whose shapes differ.
    """
    if odd := sorted(set(weights) ^ set(state)):
        raise ValueError(f"the checkpoint is of another model: {odd[0]} is in one only")
    for name, weight in weights.items():
        if weight.shape != state[name].shape:
            raise ValueError(
                f"the checkpoint is of another model: {name} is {tuple(state[name].shape)}, "
                f"wanted {tuple(weight.shape)}"
            )
        weight.copy_(state[name])


def _sync(folder: Path) -> None:
    """Make a rename in the folder durable, where the system lets a folder be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
