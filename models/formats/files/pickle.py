"""A file of `torch.save`, read by PyTorch's unpickler of weights: tensors and containers only.

A pickle is a program, and most of what it could do is not wanted here. `weights_only` admits
tensors, numbers, texts and the containers of them; anything else is refused by its name.

Memory   the zip layout (PyTorch 1.6 and later) is mapped: a tensor is a view of the file until it
         is dropped; the older layout has to be read whole, and is let go of tensor by tensor
"""

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.models.formats.files.source import Entry

STATES = ("state_dict", "model")  # where trainers keep the weights beside everything else
AVERAGES = ("model_ema", "ema")  # where they keep the running average of the weights
AVERAGE = "model_ema."  # with what its names begin here, as they do in latent diffusion's files
AT_ONCE = 8 << 20  # bytes that may be read before the mapping is renewed
SHARE = 32  # or the file's size over this, if that is more
WAY_OUT = (  # of a TorchScript archive
    "where you trust it, write its weights as torch.save(torch.jit.load('FILE').state_dict(), "
    "'weights.pt')"
)


class ModelCheckpoint:
    """An inert stand-in for the one class that Stable Diffusion's original .ckpt files name.

    There it is a key of a table of the trainer's settings, and nothing is ever made of it.
    """


class Number:
    """An inert stand-in for numpy's scalars and arrays, which trainers leave beside the weights.

    What the pickle would make of them is not made: arguments and state are let go of.
    """

    def __init__(self, *arguments: object) -> None:
        """Take what numpy would be called with, and do nothing."""

    def __setstate__(self, state: object) -> None:
        """Take what numpy would be told, and do nothing."""


class Parameters(dict[str, Tensor]):
    """An inert stand-in for `torch.nn.ParameterDict`, in which learned tokens were first saved."""

    def __setstate__(self, state: Mapping[str, object]) -> None:
        """Take its tensors out of the attributes that the class has in any version of PyTorch."""
        table = state.get("_parameters")
        if isinstance(table, Mapping):
            self.update({str(n): value for n, value in table.items() if isinstance(value, Tensor)})


STAND_INS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    *(
        (ModelCheckpoint, f"pytorch_lightning.callbacks.{path}ModelCheckpoint")
        for path in ("model_checkpoint.", "")
    ),
    *(
        (Number, f"numpy.{name}")
        for core in ("core.multiarray", "_core.multiarray")
        for name in (f"{core}.scalar", f"{core}._reconstruct", "ndarray", "dtype")
    ),
    (Parameters, "torch.nn.modules.container.ParameterDict"),
]


class PickleFile:
    """The tensors of a pickled state dict: alone, under `state_dict` or `model`, first in a list.

    A running average of the weights that is beside them (under `ema` or `model_ema`, or last in the
    list) has its names behind `AVERAGE`. Raises ValueError that says why a file is refused. Texts
    beside the tensors are `metadata`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapped = _members(path) is not None
        self._state, self.metadata = _weights(path, load_pickle(path))
        self.entries = {n: Entry(t.dtype, tuple(t.shape)) for n, t in self._state.items()}
        self._unmapped = 0  # bytes of dropped tensors whose pages are still held
        self._room = max(AT_ONCE, path.stat().st_size // SHARE)

    def read(self, name: str) -> Tensor:
        """Return a tensor; of an old file each can be dropped once, and then is gone."""
        if self._mapped and self._unmapped > self._room:
            self._state, self._unmapped = {}, 0
            self._state, _ = _weights(self.path, load_pickle(self.path))
        return self._state[name]

    def drop(self, name: str) -> None:
        """Forget a tensor; the pages of a mapped file go with the mapping, now and then."""
        if not self._mapped:
            self._state.pop(name, None)
            return
        self._unmapped += self._state[name].nbytes


def load_pickle(path: Path) -> object:
    """Return what a file of `torch.save` holds, on the CPU, mapped where its layout allows it.

    Raises ValueError that says why not: truncated, a TorchScript archive, or a pickle that would
    have to run code of its own.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    mapped = _members(path) is not None
    if mapped:
        _refuse_program(path)
    try:
        with torch.serialization.safe_globals(STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # zip, pickle and storage errors all mean a file we do not read
        raise ValueError(f"{path}: {_reason(error)}") from None


def looks_pickled(start: bytes) -> bool:
    """Whether a file that begins so was written by `torch.save`, in either layout."""
    return start[:4] == b"PK\x03\x04" or start[:1] == b"\x80"


def looks_scripted(path: Path) -> bool:
    """Whether a file is a TorchScript archive; ValueError if its zip directory is damaged."""
    inner = {name.partition("/")[2] for name in _members(path) or ()}
    return "constants.pkl" in inner or any(name.startswith("code/") for name in inner)


def _members(path: Path) -> list[str] | None:
    """Return the names in a zip file's directory, None of a file that is none."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception as error:  # whatever a damaged directory leads to
        raise ValueError(f"{path}: its zip directory is damaged: {_reason(error)}") from None


def _refuse_program(path: Path) -> None:
    """Raise ValueError for a TorchScript archive, which holds code beside its weights."""
    if looks_scripted(path):
        raise ValueError(
            f"{path} is a TorchScript archive: a program with its weights, which is not run here; "
            + WAY_OUT
        )


def _reason(error: Exception) -> str:
    """Return in one line why PyTorch did not read a file."""
    text = str(error)
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return (
            f"refused, since its pickle needs {found[1]}, and only tensors and plain containers "
            "are unpickled; save its tensors as safetensors where you trust it"
        )
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return f"not a whole file of torch.save: {first}"


def _weights(path: Path, found: object) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a state dict and the texts beside them."""
    state, average = _tables(found)
    if not _named(state) and _named(average):
        warnings.warn(f"{path} has the running average of the weights alone: used", stacklevel=4)
        state, average = average, None
    if not isinstance(state, Mapping) or not _named(state):
        raise ValueError(f"{path} holds no state dict: no table of named tensors")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if isinstance(average, Mapping) and all(isinstance(v, Tensor) for v in average.values()):
        tensors |= {f"{AVERAGE}{name}": value for name, value in average.items()}
    odd = [name for name, t in tensors.items() if t.layout != torch.strided or t.is_quantized]
    if odd:
        raise ValueError(f"{path}: {odd[0]} is sparse or quantized, wanted plain tensors")
    outer = found if isinstance(found, Mapping) else {}
    texts = {name: value for name, value in outer.items() if isinstance(value, str)}
    return tensors, {str(name): value for name, value in texts.items()}


def _named(table: object) -> bool:
    return isinstance(table, Mapping) and any(isinstance(v, Tensor) for v in table.values())


def _tables(found: object) -> tuple[object, object]:
    """Return what should be the state dict, and the average of the weights or what is in its place.

    DDIM's and SDEdit's trainers save a list: the weights, the optimizer, and last the average.
    """
    if isinstance(found, list | tuple):
        return next(iter(found), None), found[-1] if len(found) > 1 else None
    if not isinstance(found, Mapping):
        return None, None
    state = next((found[name] for name in STATES if isinstance(found.get(name), Mapping)), found)
    return state, next((found[name] for name in AVERAGES if name in found), None)
