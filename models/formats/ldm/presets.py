"""Which model a file is, whose tensors say nothing of heads, schedule and times.

In this order: the configuration that is given, the one that the file was written with here, the
published model whose tensors have just these names and shapes.
"""

import json
from collections.abc import Callable
from pathlib import Path

from latentgeo.models.bundles.image_config import ImageModelConfig, config_from
from latentgeo.models.bundles.image_model import read_config
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.formats.files.source import Source
from latentgeo.models.formats.files.strict import SHOWN, refuse
from latentgeo.models.formats.ldm.file import CONFIG

WAY = "give --model-config: a JSON file, as config.json in a folder that latentgeo wrote"
Misfits = Callable[[ImageModelConfig], list[str]]  # what keeps a file from being such a model


def config_of(
    source: Source, network: str, misfits: Misfits, given: ImageModelConfig | None = None
) -> ImageModelConfig:
    """Return a file's configuration, of the network `network`.

    Raises ValueError that lists what does not fit, or says which models were tried.
    """
    if given is None and (text := source.metadata.get(CONFIG)) is not None:
        given = _written(text, source.path)
    if given is None:
        return _published(source, network, misfits)
    if given.network != network:
        raise ValueError(
            f"{source.path} is of the network {network}, and {given.name} of {given.network}; give "
            "another --model-config"
        )
    refuse(source.path, misfits(given), f"it was held against {given.name}; ")
    return given


def named_config(word: str | Path) -> ImageModelConfig:
    """Return the configuration that a preset's name or a JSON file stands for.

    Raises FileNotFoundError, or ValueError for a file that is no configuration.
    """
    if str(word) in IMAGE_PRESETS:
        return IMAGE_PRESETS[str(word)]
    if not Path(word).is_file():
        wanted = f"wanted a JSON file or one of {', '.join(IMAGE_PRESETS)}"
        raise FileNotFoundError(f"no configuration {word}; {wanted}")
    return read_config(Path(word))


def _published(source: Source, network: str, misfits: Misfits) -> ImageModelConfig:
    """Return the preset that a file fits, or say how far it is from the nearest."""
    said: dict[str, list[str]] = {}
    for name, config in IMAGE_PRESETS.items():
        if config.network == network:
            said[name] = misfits(config)
            if not said[name]:
                return config
    nearest = min(said, key=lambda name: len(said[name]))
    near = f"; nearest is {nearest}: {'; '.join(said[nearest])}"
    raise ValueError(
        f"{source.path} is none of {', '.join(said)}; {WAY}"
        + (near if len(said[nearest]) <= SHOWN else "")
    )


def _written(text: str, path: Path) -> ImageModelConfig:
    try:
        return config_from(json.loads(text), str(path))
    except json.JSONDecodeError:
        raise ValueError(f"{path}: its configuration is no JSON") from None
