"""The family laid out as the package has it: weights in float16, all else as it is."""

import shutil
from pathlib import Path

import torch
from safetensors import safe_open

from latentgeo.eval.zoo.chain import Step
from latentgeo.models.formats.files.safetensors import write_safetensors


def lay_together(step: Step, out: Path) -> None:
    """Copy the files of a step, `{NAME}/FILE` from the folders of a chain, to its own folder."""
    for target, source in step.files.items():
        name, _, file = source.removeprefix("{").partition("}/")
        place = out / step.name / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".safetensors":
            halve(out / name / file, place)
        else:
            shutil.copyfile(out / name / file, place)


def halve(source: Path, target: Path) -> None:
    """Write a file of weights again with its floating point numbers in float16."""
    with safe_open(source, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}
        notes = file.metadata()
    half = {name: x.to(torch.float16) if x.is_floating_point() else x for name, x in found.items()}
    write_safetensors(target, half, notes)
