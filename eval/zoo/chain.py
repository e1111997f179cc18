"""A chain of commands as data: read from TOML, checked, scaled, chosen from.

Step       `[[step]]` with name, part, minutes, and a command with `config` (a recipe, or a file
           below `models/zoo`) and `[step.options]`, or `[step.files]` to copy from other steps
{name}     in an option: the folder of an earlier step, whose result this one then depends on
{out}      the step's own folder; {file:PATH} a file below `models/zoo`
continues  the step whose finished run this one goes on with
embed      files of the result that are part of the package, by their place below `models/zoo`
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from latentgeo.core.run.cli import flag, parse, recipes
from latentgeo.core.run.config import nearest
from latentgeo.core.run.main import commands
from latentgeo.core.run.text import read_text
from latentgeo.models.zoo.places import ZOO

CHAINS = Path(__file__).parent / "chains"
PLACE = re.compile(r"\{(file:)?([\w./-]+)\}")
SCALED = ("steps", "adversarial_from", "warm_up")  # options that --minutes multiplies
MODELS = "models"  # the step that lays the family out as `models/zoo` has it
MEASURE = "measure"  # the part that reads these models alone


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a chain, or files that are laid together."""

    name: str
    part: str
    minutes: float  # on the machine that the chain is for
    command: str = ""
    config: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # target -> source
    continues: str = ""
    scaled: Sequence[str] = SCALED
    embed: Mapping[str, str] = field(default_factory=dict)  # of the result -> below models/zoo

    @property
    def needs(self) -> list[str]:
        """The steps whose results this one reads."""
        texts = [one for value in self.options.values() for one in several(value)]
        found = [place for is_file, place in places([*texts, *self.files.values()]) if not is_file]
        return list(dict.fromkeys([*found, *filter(None, [self.continues])]))

    @property
    def read(self) -> list[Path]:
        """The files outside the chain that it reads."""
        texts = [one for value in self.options.values() for one in several(value)]
        found = [ZOO / place for is_file, place in places(texts) if is_file]
        return [*([self.recipe] if self.recipe else []), *found]

    @property
    def recipe(self) -> Path | None:
        """The file of `config`: below `models/zoo`, a recipe of the command, or a path."""
        if not self.config or (ZOO / self.config).is_file():
            return ZOO / self.config if self.config else None
        known = recipes(commands()[self.command].settings_class())
        return known.get(self.config, Path(self.config))


def several(value: object) -> list[str]:
    """Return the words of an option's value."""
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def places(texts: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """Yield whether it is a file of the package, and which, for each place named in texts."""
    for text in texts:
        yield from ((bool(one[1]), one[2]) for one in PLACE.finditer(text) if one[2] != "out")


def read_chain(name: str) -> list[Step]:
    """Return the steps of a chain, by its name or its file.

    Raises FileNotFoundError for one that is not there, ValueError for a step that no run could do.
    """
    own = CHAINS / f"{name}.toml"
    path = own if own.is_file() else Path(name)
    if not path.is_file():
        known = sorted(one.stem for one in CHAINS.glob("*.toml"))
        raise FileNotFoundError(f"chain: no such file: {name}; chains are {', '.join(known)}")
    try:
        steps = [Step(**one) for one in tomllib.loads(read_text(path))["step"]]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: wanted [[step]] tables of a chain: {error}") from None
    before: list[str] = []
    for step in steps:
        check(step, before, path)
        before.append(step.name)
    return steps


def check(step: Step, before: Sequence[str], path: Path) -> None:
    """Raise ValueError for a name that is there twice, a later step's result, a wrong command."""
    where = f"{path}: step {step.name}"
    if step.name in (*before, "out", "logs", "state"):
        raise ValueError(f"{where}: wanted a name of its own")
    if later := [one for one in step.needs if one not in before]:
        raise ValueError(f"{where}: got the result of {', '.join(later)}, no step before it")
    if step.files:
        return
    if step.command not in commands():
        raise ValueError(f"{where}: unknown command {step.command!r}")
    try:
        parse(commands()[step.command].settings_class(), words(step, Path("out"))[1:])
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{where}: {error}") from None


def words(step: Step, out: Path, embedded: bool = False, device: str = "auto") -> list[str]:
    """Return the words of a step's command, for a chain in a folder.

    With `embedded`, models are those of the package, by their names.
    """
    values = dict(step.options)
    if "to" not in values:
        values["out"] = "{out}"
    found = [step.command, *(["--config", str(step.recipe)] if step.recipe else [])]
    known = fields(commands()[step.command].settings_class())
    flags = {one.name: "word" not in one.metadata for one in known}
    for key, value in values.items():
        if isinstance(value, bool):
            found.append(flag(key) if value else flag(key).replace("--", "--no-", 1))
        elif not flags.get(key, True):
            found.append(str(value))
        else:
            found += [flag(key), *(filled(one, step, out, embedded) for one in several(value))]
    return found + (["--device", device] if "device" in flags and device != "auto" else [])


def filled(text: str, step: Step, out: Path, embedded: bool) -> str:
    """Return text with the places that it names."""
    text = text.replace(f"{{{MODELS}}}/", "") if embedded else text

    def place(found: re.Match[str]) -> str:
        if found[1]:
            return str(ZOO / found[2])
        return str(out / (step.name if found[2] == "out" else found[2]))

    return PLACE.sub(place, text)


def chosen(steps: Sequence[Step], only: Sequence[str], first: str | None) -> list[Step]:
    """Return the steps that are asked for; ValueError for a part or step that there is not."""
    known = [name for step in steps for name in (step.part, step.name)]
    for option, name in [*(("only", one) for one in only), ("from", first)]:
        if name is not None and name not in known:
            raise ValueError(
                f"{option}: got {name!r}, wanted a part or a step: "
                f"{', '.join(dict.fromkeys(known))}{nearest(name, known)}"
            )
    asked = [step for step in steps if not only or {step.part, step.name} & set(only)]
    starts = [i for i, step in enumerate(steps) if first in (step.part, step.name)]
    return [step for step in asked if first is None or steps.index(step) >= starts[0]]


def scaled(steps: Sequence[Step], minutes: float | None) -> list[Step]:
    """Return steps whose trainings are longer or shorter, so that all take so many minutes."""
    if minutes is None:
        return list(steps)
    fixed = sum(step.minutes for step in steps if not lengths(step))
    free = sum(step.minutes for step in steps if lengths(step))
    if minutes <= fixed or not free:
        raise ValueError(
            f"minutes: got {minutes:g}, wanted more than the {fixed:g} of what is no training"
        )
    factor = (minutes - fixed) / free
    return [stretched(step, factor) for step in steps]


def stretched(step: Step, factor: float) -> Step:
    """Return a step with its lengths multiplied."""
    if not (found := lengths(step)):
        return step
    new = {name: max(round(value * factor), 1) for name, value in found.items()}
    return replace(step, options={**step.options, **new}, minutes=step.minutes * factor)


def lengths(step: Step) -> dict[str, int]:
    """Return the options of a training that say how long it is."""
    if not step.command.startswith("train-"):
        return {}
    recipe = tomllib.loads(read_text(step.recipe)) if step.recipe else {}
    values = {**recipe, **step.options}
    return {name: values[name] for name in step.scaled if values.get(name)}
