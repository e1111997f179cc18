"""Learned token embeddings (textual inversion): .bin, .pt and .safetensors, in three layouts.

diffusers   one entry per token, under the token itself: (width,) or (n, width)
webui       `string_to_param` with one entry `*`, and the token in `name`; as safetensors
            `emb_params`, and the token is the file's name
original    `string_to_param`, a ParameterDict, with an entry for each token, under itself
Gal et al., arXiv 2208.01618.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.pickle import (
    Parameters,
    load_pickle,
    looks_pickled,
    looks_scripted,
)
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import shapes
from latentgeo.models.formats.files.strict import fault_of, no_weight, refuse, warn

PARAMETERS, ALONE = "string_to_param", "emb_params"
XL = ("clip_l", "clip_g")  # two encoders' vectors for one token
FAMILY = "textual-inversion"


def read_embeddings(path: Path) -> dict[str, Tensor]:
    """Return the vectors (n, width) of each token in a file.

    Raises ValueError that says what the file is instead, or that it is for SDXL.
    """
    nested = _webui(path)
    if nested is not None:
        return nested
    source = open_source(path)
    family = looks_like(shapes(source))
    if family.name != FAMILY:
        raise ValueError(f"{path} looks like {family.title}, wanted learned token embeddings")
    if any(name in source.entries for name in XL):
        raise ValueError(
            f"{path} has vectors for two text encoders ({', '.join(XL)}): it is SDXL's"
        )
    found = {path.stem if n == ALONE else n: source.read(n).clone() for n in source.entries}
    return {token: _vectors(path, token, vectors) for token, vectors in found.items()}


def write_embeddings(path: Path, tokens: Mapping[str, Tensor]) -> Path:
    """Write tokens as diffusers does: .safetensors, or a pickle of tensors for .bin and .pt.

    A single vector is written as (width,).
    """
    plain = {t: v[0].contiguous() if len(v) == 1 else v.contiguous() for t, v in tokens.items()}
    if path.suffix in (".bin", ".pt"):
        return atomic_write(path, lambda file: torch.save(plain, file))
    return write_safetensors(path, plain, {"format": "pt"})


def is_webui(path: Path) -> bool:
    """Whether a file is a token in webui's pickled layout, or the original one."""
    return _webui(path) is not None


def _webui(path: Path) -> dict[str, Tensor] | None:
    """Return the one token of webui's pickled layout, None where the file is not in it."""
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    with open(path, "rb") as file:
        if not looks_pickled(file.read(8)) or looks_scripted(path):
            return None
    whole = load_pickle(path)
    if not isinstance(whole, Mapping) or not isinstance(whole.get(PARAMETERS), Mapping):
        return None
    table = whole[PARAMETERS]
    if not all(isinstance(value, Tensor) for value in table.values()):
        raise ValueError(f"{path}: {PARAMETERS} has what is no tensor")
    if "name" not in whole and isinstance(table, Parameters):
        found = {str(token): vectors.detach().clone() for token, vectors in table.items()}
        return {token: _vectors(path, token, vectors) for token, vectors in found.items()}
    if len(table) != 1:
        raise ValueError(f"{path}: {PARAMETERS} has {len(table)} entries, wanted one tensor")
    (vectors,) = table.values()
    name = whole.get("name")
    token = name if isinstance(name, str) and name else path.stem
    return {token: _vectors(path, token, vectors.detach().clone())}


def _vectors(path: Path, token: str, found: Tensor) -> Tensor:
    """Return a token's vectors (n, width), with a warning of NaN and infinite values.

    Raises ValueError for another shape or kind.
    """
    refuse(path, no_weight(token, found.dtype))
    if found.ndim not in (1, 2) or not found.numel():
        raise ValueError(f"{path}: {token} is {tuple(found.shape)}, wanted (n, width)")
    if fault := fault_of(found):
        warn(path, [f"{token} has {fault}"])
    return torch.atleast_2d(found)
