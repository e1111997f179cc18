"""Keys of adapters without the names of what was around a network, or a layer, in training.

`torch.compile` puts `_orig_mod.` before the names of what it compiles, and training on several GPUs
`module.`: before the whole key, behind `unet.` or `base_model.model.`, or within, in any order;
kohya's scripts write `_` for every `.` of them. No layer of ours has such a name.
"""

import re

from torch import Tensor

from latentgeo.models.formats.files.families import bare
from latentgeo.models.formats.files.source import Source
from latentgeo.models.formats.files.views import View

WITHIN = re.compile(r"(?<![^.])(_orig_mod|module)\.")
KOHYA, WITHIN_KOHYA = "lora_", re.compile(r"(?<=_)(_orig_mod|module)_")
BUNDLED = "bundle_emb."  # before a token, which may have any name


def unwrapped(key: str) -> str:
    """Return a key without the wrappers' names."""
    key = bare(key)
    if key.startswith(BUNDLED):
        return key
    form = WITHIN_KOHYA if key.startswith(KOHYA) else WITHIN
    return form.sub("", key)


class Unwrapped(View):
    """A file of an adapter whose keys are without the wrappers' names.

    Raises ValueError where two keys are then the same.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._names: dict[str, str] = {}
        for name in source.entries:
            plain = unwrapped(name)
            if plain in self._names:
                raise ValueError(f"{name} and {self._names[plain]} are of one layer, wanted one")
            self._names[plain] = name
        self.entries = {plain: source.entries[name] for plain, name in self._names.items()}

    def read(self, name: str) -> Tensor:
        """Return a tensor by its plain name."""
        return self._source.read(self._names[name])

    def drop(self, name: str) -> None:
        """Forget a tensor that was read and copied."""
        self._source.drop(self._names[name])
