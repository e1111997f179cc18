"""The table of commands: their settings and their work by name, so that a list imports neither."""

from dataclasses import dataclass

GROUPS = {  # in the order of `latentgeo --help`
    "draw": "images from noise, with prompts or without",
    "walk": "between noises, prompts and images, and along directions",
    "edit": "images, real or drawn",
    "train": "models, adapters, directions and judges",
    "measure": "what the papers measure, with intervals",
    "compare": "models by every metric, on one page",
    "audit": "the equations, their code and their tests",
    "profile": "time, memory and traffic, beside peers",
    "data": "sets of images, and files of weights",
}


@dataclass(frozen=True)
class Command:
    """One command: a dataclass of settings, and the function that takes it and does the work."""

    name: str  # as it is typed
    settings: str  # module:Class; the module imports no torch
    work: str  # module:function, which gets the settings and returns what is to be printed
    help: str  # one line


@dataclass(frozen=True)
class Group:
    """Commands of one of GROUPS; each folder that has commands has a tuple of these."""

    name: str
    commands: tuple[Command, ...]
