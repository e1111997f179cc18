"""What a run tells who started it: how long it takes, where it stopped, what to type next."""

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

from latentgeo.core.run.cli import command_name, line, recipes
from latentgeo.core.run.config import kinds, read_toml
from latentgeo.core.run.progress import clock, say
from latentgeo.core.run.ranks import is_main, ranks
from latentgeo.train.loop.checkpoint import checkpoints, folder_of, step_of
from latentgeo.train.loop.settings import Training

FREE = ("out", "resume", "steps", "minutes", "device")  # settings that change without a word
LONG = 600.0  # seconds of a run, above which there is advice


def tell(text: str, stream: TextIO | None = None) -> None:
    """Print a text once, however many ranks there are, beside the line of progress."""
    if is_main():
        say(text, stream)


def going_on(settings: Training, minutes: float | None = None) -> str:
    """Return the command that goes on with a run, on as many ranks."""
    name = command_name(type(settings))
    words = line(name, resume=True, out=settings.out, minutes=minutes)
    here = os.environ.get("LOCAL_WORLD_SIZE", str(ranks().world))
    start = f"torchrun --nproc-per-node {here} --no-python "
    return start + words if ranks().world > 1 else words


def duration(settings: Training, steps: int, each: float, seconds: float | None) -> str:
    """Return how long a run takes whose steps take `each` seconds, and what makes that less.

    `steps` are left of it, and `seconds` if a clock ends it.
    """
    pace = f"on this machine ({each:.2g} s a step)"
    if seconds is not None and seconds < steps * each:
        made = round(seconds / each)
        return f"{clock(seconds)} are left, about {made} of {steps} steps {pace}"
    text = f"{steps} steps take about {clock(steps * each)} {pace}"
    if steps * each <= LONG:
        return text
    return (
        f"{text}. If that is too long: Ctrl-C, and what ends it in 20 minutes, usable, is\n"
        f"    {going_on(settings, 20)}\n"
        "A smaller --batch or fewer --steps from the start take less, too."
    )


def changes(settings: Training, before: Mapping[str, object]) -> list[str]:
    """Return a line for each setting that was another `before`, but for those that are free to."""
    return [
        f"changed setting: {name} was {before[name]}, is {value}"
        for name, value in settings.plain().items()
        if name not in FREE and name in before and before[name] != value
    ]


def stopped(settings: Training) -> str:
    """Return where a run is that was stopped, and what goes on with it."""
    found = checkpoints(folder_of(settings.out))
    where = f"step {step_of(found[-1])} of {settings.steps} is kept" if found else "no step is kept"
    return f"stopped; {where}. To go on:\n    {going_on(settings)}"


def ended(settings: Training, step: int, captions: Sequence[str]) -> str:
    """Return what to type after a run that ended at a step; "" if there is nothing to say."""
    text, following = "", settings.following(family(settings), tuple(captions))
    if step < settings.steps:
        clocked = f"{settings.minutes:g} minute{'s' * (settings.minutes != 1)}"
        text = f"{clocked} ended the run at step {step} of {settings.steps}; "
        text += f"to go on:\n    {going_on(settings)}\n"
    return text + "\n    ".join(["next:", *following] if following else []).strip()


def family(settings: Training) -> str | None:
    """Return the first word of the recipe's name that a run follows in all but when it ends."""
    known, name = kinds(type(settings)), command_name(type(settings))
    for recipe, path in recipes(type(settings)).items():
        values = read_toml(path, known, name)
        if all(getattr(settings, key) == value for key, value in values.items() if key not in FREE):
            return recipe.partition("-")[0]
    return None
