"""The table of commands: their settings and their work by name, so that a list imports neither."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

GROUPS = {  # in the order of `latentgeo --help`
    "draw": "images from noise, with prompts or without",
    "walk": "between noises, prompts and images, and along directions",
    "edit": "images, real or drawn",
    "try": "all of these by hand, in a browser",
    "train": "models, adapters, directions and judges",
    "measure": "what the papers measure, with intervals",
    "compare": "models by every metric, on one page",
    "audit": "the equations, their code and their tests",
    "teach": "the course, its chapters and its exercises",
    "data": "sets of images, and files of weights",
    "profile": "time, memory and traffic, beside peers",
}


IN_FULL = ("measure", "compare")  # groups whose numbers are not to depend on a GPU's TF32


@dataclass(frozen=True)
class Command:
    """One command: a dataclass of settings, and the function that takes it and does the work.

    Its settings are in its room's file `settings` under its own name: `train-vae` is `TrainVae`.
    """

    group: str  # of GROUPS
    name: str  # as it is typed
    room: str  # "infer.sampling": where both are
    work: str  # "file:function"; it gets the settings and returns what is to be printed
    help: str  # one line

    def settings_class(self) -> type:
        """Import and return the settings; no torch comes with them."""
        module = importlib.import_module(f"latentgeo.{self.room}.settings")
        found: type = getattr(module, self.name.title().replace("-", ""))
        return found

    def work_function(self) -> Callable[[Any], object]:
        """Import and return the function; what measures computes float32 in full on a GPU."""
        file, _, name = self.work.partition(":")
        found: Callable[[Any], object] = getattr(
            importlib.import_module(f"latentgeo.{self.room}.{file}"), name
        )
        return in_full(found) if self.group in IN_FULL else found


def in_full(work: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return the same work, without TF32."""

    @wraps(work)
    def done(settings: Any) -> object:
        with importlib.import_module("latentgeo.core.run.device").tf32(False):
            return work(settings)

    return done
