"""Files of directions: f_t as released, all kinds as safetensors with what they were learned for.

A released file is `{"0": weights}`, pickled beside an optimizer. A file tells what it holds (f_t in
DDPM's or ADM's layout, a table of Δh_t, one Δh) by the names and shapes of its tensors.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.bundles.delta_h import (
    DirectionTable,
    GlobalDirection,
    ImplicitDirection,
    ImplicitDirectionADM,
)
from latentgeo.models.formats.files.pickle import load_pickle
from latentgeo.models.formats.files.safetensors import SafeFile, write_safetensors
from latentgeo.models.formats.files.strict import no_weight, refuse
from latentgeo.models.unet_layers import H

Implicit = ImplicitDirection | ImplicitDirectionADM
Learned = Implicit | DirectionTable | GlobalDirection
# Of each layout the tensors that say the widths, (C, C, 1, 1) and (C, E)
LAYOUTS: dict[type[Implicit], tuple[str, str]] = {
    ImplicitDirection: ("conv1.weight", "temb_proj.weight"),
    ImplicitDirectionADM: ("in_layers.2.weight", "emb_layers.1.weight"),
}
PLACE = "0"  # of the weights in a released file
SUFFIXES = (".pth", ".pt", ".safetensors")
KEY = "latentgeo"  # of the metadata


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a direction was learned for; None where its file does not say."""

    name: str = ""
    source: str | None = None  # the text of what images show
    target: str | None = None  # the text of what they shall show
    similarity: float | None = None  # cosine of the two texts' embeddings, of the judge
    S: int | None = None  # steps of the process
    t_edit: int | None = None
    t_boost: int | None = None
    model: str | None = None
    weights: str | None = None  # hash of the model's
    layer: str = H  # where the shift enters; a file that does not say means the bottleneck


def read_purpose(path: Path) -> Purpose:
    """Return what a file says of its direction: of a released one its name alone.

    Raises FileNotFoundError, or ValueError where it is something else's metadata.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, wanted a direction of train-asyrp")
    text = SafeFile(path).metadata.get(KEY) if path.suffix == ".safetensors" else None
    if text is None:
        return Purpose(name=path.stem)
    try:
        content = json.loads(text)
        known = {field.name for field in fields(Purpose)}
        return Purpose(**{name: value for name, value in content.items() if name in known})
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its metadata is not a direction's: {error}") from None


def read_direction(path: Path) -> Learned:
    """Return the direction in a file, in float32 on the CPU, without gradients.

    Raises FileNotFoundError, or ValueError that names what in the file is missing, surplus or of
    another shape.
    """
    state = _state(path)
    weights = {name: tensor.dtype for name, tensor in state.items() if name != "times"}
    refuse(path, [said for name, kind in weights.items() for said in no_weight(name, kind)])
    if found := _plain(state):
        return found
    for kind, (first, time) in LAYOUTS.items():
        if first in state and time in state and state[time].ndim == 2:
            made: Implicit = kind(*state[time].shape)
            _check(path, made.state_dict(), state)
            made.load_state_dict(state)
            made.float().eval().requires_grad_(False)
            return made
    wanted = " or ".join(" and ".join(names) for names in LAYOUTS.values())
    raise ValueError(
        f"{path} is no direction: got tensors {', '.join(sorted(state)[:4])} …, wanted {wanted}"
    )


def _plain(state: Mapping[str, Tensor]) -> DirectionTable | GlobalDirection | None:
    """Return the table or the one shift that a state is of, if it is."""
    found: DirectionTable | GlobalDirection
    if state.keys() == {"times", "shifts"}:
        found = DirectionTable(state["times"].tolist(), state["shifts"].float())
    elif state.keys() == {"shift"}:
        found = GlobalDirection(state["shift"].float())
    else:
        return None
    return found.eval().requires_grad_(False)


def write_direction(path: Path, direction: Learned, purpose: Purpose | None = None) -> Path:
    """Write a direction as safetensors, or an f_t for .pth and .pt as released, weights alone.

    Raises ValueError for another ending of the name.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: wanted a name that ends in {' or '.join(SUFFIXES)}")
    state = {name: value.detach().contiguous() for name, value in direction.state_dict().items()}
    if path.suffix == ".safetensors":
        about = {} if purpose is None else {KEY: json.dumps(_said(purpose))}
        return write_safetensors(path, state, about)
    return atomic_write(path, lambda file: torch.save({PLACE: state}, file))


def _said(purpose: Purpose) -> dict[str, object]:
    """Return a purpose as files have it, which say a layer only where it is another than h."""
    content = asdict(purpose)
    return content if purpose.layer != H else {k: v for k, v in content.items() if k != "layer"}


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        source = SafeFile(path)
        return {name: source.read(name) for name in source.entries}
    whole = load_pickle(path)
    state = whole.get(PLACE, whole) if isinstance(whole, Mapping) else whole
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"{path} is no direction: wanted tensors by name, or a table {PLACE!r} of them"
        )
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
