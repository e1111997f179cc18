"""The models that the page offers, and those that stay loaded."""

from collections import OrderedDict

from latentgeo.eval.contenders import adapters_beside
from latentgeo.infer.sampling.loading import parse_model
from latentgeo.models.bundles.networks import Networks
from latentgeo.models.formats.load import DIRECTIONS, find_model

MOST_BYTES = 8 * 2**30  # of weights that stay loaded


class Models(OrderedDict[object, Networks]):
    """Loaded models; beyond `MOST_BYTES` the one that was loaded first goes."""

    def __setitem__(self, key: object, model: Networks) -> None:
        """Keep a model."""
        super().__setitem__(key, model)
        while len(self) > 1 and sum(map(size_of, self.values())) > MOST_BYTES:
            self.popitem(last=False)


def size_of(model: Networks) -> int:
    """Return the bytes of a model's weights."""
    weights = [one for part in model.modules.values() for one in part.parameters()]
    return sum(one.numel() * one.element_size() for one in weights)


def variants(model: str) -> dict[str, str]:
    """Return a model of prompts and what its adapters make of it, by the names in the page."""
    source = parse_model(model).source
    found = {"base": model}
    for name in ("smooth", "isometric"):
        if beside := adapters_beside(source, name):
            found[name] = f"{model}+{beside[0].stem}"
    if len(found) == 3:
        adapters = found["smooth"].removeprefix(model), found["isometric"].removeprefix(model)
        found["both"] = model + "".join(adapters)
    return found


def directions_of(model: str) -> list[str]:
    """Return the names of the directions in h-space that lie beside a model."""
    place = find_model(parse_model(model).source)
    folder = (place if place.is_dir() else place.parent) / DIRECTIONS
    return sorted(path.stem for path in folder.glob("*.safetensors"))
