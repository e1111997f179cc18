"""Files of f_t: as released, `{"0": weights}` pickled beside an optimizer, and as safetensors.

A file tells its layout, DDPM's or ADM's, and its widths, by the names and shapes of its tensors.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.files import atomic_write
from latentgeo.models.delta_h import ImplicitDirection, ImplicitDirectionADM
from latentgeo.models.formats.pickle_file import load_pickle
from latentgeo.models.formats.safetensors_file import SafeFile, write_safetensors

Implicit = ImplicitDirection | ImplicitDirectionADM
LAYOUTS: dict[
    type[Implicit], tuple[str, str]
] = {  # the tensors that say the widths: (C, C, 1, 1) and (C, E)
    ImplicitDirection: ("conv1.weight", "temb_proj.weight"),
    ImplicitDirectionADM: ("in_layers.2.weight", "emb_layers.1.weight"),
}
PLACE = "0"  # of the weights in a released file
SUFFIXES = (".pth", ".pt", ".safetensors")


def read_direction(path: Path) -> Implicit:
    """Return the f_t in a file, in float32 on the CPU, without gradients.

    Raises FileNotFoundError, or ValueError that names what in the file is missing, surplus or of
    another shape.
    """
    state = _state(path)
    for kind, (first, time) in LAYOUTS.items():
        if first in state and time in state and state[time].ndim == 2:
            made: Implicit = kind(*state[time].shape)
            _check(path, made.state_dict(), state)
            made.load_state_dict(state)
            made.float().eval().requires_grad_(False)
            return made
    wanted = " or ".join(" and ".join(names) for names in LAYOUTS.values())
    raise ValueError(f"{path} is no f_t: wanted {wanted}, got {', '.join(sorted(state)[:4])} …")


def write_direction(path: Path, direction: Implicit) -> Path:
    """Write an f_t as safetensors, or for .pth and .pt as released, without an optimizer."""
    state = {name: value.detach().contiguous() for name, value in direction.state_dict().items()}
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: wanted a name in {', '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        return write_safetensors(path, state)
    return atomic_write(path, lambda file: torch.save({PLACE: state}, file))


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        source = SafeFile(path)
        return {name: source.read(name) for name in source.entries}
    whole = load_pickle(path)
    state = whole.get(PLACE, whole) if isinstance(whole, Mapping) else whole
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} is no f_t: wanted tensors, or them under {PLACE!r}")
    return dict(state)


def _check(path: Path, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise ValueError naming the first difference in names or shapes."""
    for name in sorted({*wanted, *state}):
        if name not in state:
            raise ValueError(f"{path}: missing {name}")
        if name not in wanted:
            raise ValueError(f"{path}: unexpected {name}")
        if wanted[name].shape != state[name].shape:
            shapes = tuple(state[name].shape), tuple(wanted[name].shape)
            raise ValueError(f"{path}: {name} is {shapes[0]}, wanted {shapes[1]}")
