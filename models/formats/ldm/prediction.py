"""What the UNet of a single file returns, ε or v: its tensors alone do not say.

Marker   an empty tensor `v_pred`, of programs that merge models; `ztsnr` is a schedule that ends in
         noise alone, which is none of ours
Beside   a `.yaml` of the same name, as Latent Diffusion's configurations are: `parameterization`
Inside   `modelspec.prediction_type` in the metadata of a safetensors file
A file that says nothing predicts ε, as Stable Diffusion 1.x does.
"""

import re
from pathlib import Path

from latentgeo.core.parameterization import Kind
from latentgeo.core.run.text import read_text
from latentgeo.models.formats.files.source import Source

MARKER, OTHER_SCHEDULE = "v_pred", "ztsnr"
SPEC = "modelspec.prediction_type"
KINDS: dict[str, Kind] = {
    **{"eps": "eps", "epsilon": "eps", "v": "v", "v_prediction": "v"},
    **{"x0": "x_0", "sample": "x_0"},
}
SETTING = re.compile(r"^[ \t]*parameterization[ \t]*:[ \t]*(.*?)[ \t]*(#.*)?$", re.M)


def prediction_of(source: Source) -> Kind:
    """Return what the UNet of a file predicts; ValueError where two places contradict each other.

    Raises ValueError, too, for a word that is none of these, and for another noise schedule.
    """
    path = source.path
    if OTHER_SCHEDULE in source.entries:
        raise ValueError(
            f"{path} has the marker {OTHER_SCHEDULE}: its noise schedule ends at an SNR of 0, "
            "wanted that of Stable Diffusion 1.x"
        )
    said: dict[str, Kind] = {}
    if MARKER in source.entries:
        said[f"its marker {MARKER}"] = "v"
    if word := source.metadata.get(SPEC):
        said[SPEC] = _kind(word, f"{path}: {SPEC}")
    for beside in (path.with_suffix(".yaml"), path.with_suffix(".yml")):
        if beside.is_file() and (word := _setting(beside)) is not None:
            said[beside.name] = _kind(word, f"{beside}: parameterization")
    if len(set(said.values())) > 1:
        both = " and ".join(f"{kind} by {where}" for where, kind in said.items())
        raise ValueError(f"{path} predicts {both}; keep the one that is right")
    return next(iter(said.values()), "eps")


def _setting(path: Path) -> str | None:
    """Return the word that a YAML file has for `parameterization`, None if it has none."""
    found = SETTING.search(read_text(path))
    return None if found is None else found[1].strip("\"'")


def _kind(word: str, where: str) -> Kind:
    if word not in KINDS:
        raise ValueError(f"{where} is {word!r}, wanted one of {', '.join(KINDS)}")
    return KINDS[word]
