"""Keys of adapters without the names of what was around a network, or a layer, in training.

`torch.compile` puts `_orig_mod.` before the names of what it compiles, and training on several GPUs
`module.`: before the whole key, behind `unet.` or `base_model.model.`, or within, in any order;
kohya's scripts write `_` for every `.` of them. No layer of ours has such a name.
"""

import re

from latentgeo.models.formats.files.source import Source
from latentgeo.models.formats.files.views import Renamed, bare_name

KOHYA, WITHIN_KOHYA = "lora_", re.compile(r"(?<=_)(_orig_mod|module)_")


def unwrapped(key: str) -> str:
    """Return a key without the wrappers' names."""
    plain = bare_name(key)
    return WITHIN_KOHYA.sub("", plain) if plain.startswith(KOHYA) else plain


def without_wrappers(source: Source) -> Renamed:
    """Return an adapter's file under unwrapped keys; ValueError where two are then the same."""
    names: dict[str, str] = {}
    for name in source.entries:
        if (plain := unwrapped(name)) in names:
            raise ValueError(f"{name} and {names[plain]} are of one layer, wanted one")
        names[plain] = name
    return Renamed(source, names)
