"""The folder of a training, in the place of what the training left in it."""

import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

from latentgeo.core.run.text import read_text

LORA = "*_lora.safetensors"  # what train-smooth and train-isometric leave


def left_in(folder: Path, patterns: Sequence[str], what: str) -> Path:
    """Return the one file of a folder that has a name of the first pattern that is there.

    `what` it is, with its article, is for errors. Raises FileNotFoundError where there is none,
    which says how its training goes on, if one was stopped; ValueError that lists several.
    """
    for pattern in patterns:
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise ValueError(f"{folder} has several, wanted one: {names}; name the file")
        if files:
            return files[0]
    wanted = " or ".join(patterns)
    raise FileNotFoundError(f"{folder} is no {what}: it has no {wanted}{unfinished(folder)}")


def unfinished(folder: Path) -> str:
    """Return what goes on with a training in a folder, to put behind an error; "" without one."""
    try:
        command = tomllib.loads(read_text(folder / "run.toml")).get("command", "")
    except (OSError, ValueError):
        return ""
    if not (folder / "checkpoints").is_dir() or not isinstance(command, str):
        return ""
    line = shlex.join(["latentgeo", command, "--resume", "--out", str(folder)])
    return f"; its training was stopped, and goes on with: {line}"


def instead_of_model(folder: Path) -> str:
    """Return what a folder without a model is good for, to put behind an error; "" if unknown."""
    if list(folder.glob(LORA)):
        return f"; it has a LoRA, which is wanted behind its model: MODEL+{folder}"
    if (folder / "vae.json").is_file():
        line = shlex.join(["latentgeo", "train-diffusion", "--vae", str(folder)])
        return f"; it has an autoencoder, on which a model is trained: {line} --data DATA --out OUT"
    return unfinished(folder)
