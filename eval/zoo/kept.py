"""What of a chain stands: the result of each step, by what it was made of.

A step's record is `state/NAME.json`. `made_of` is a digest of its command, its recipe and the
results that it read; `result` one of what it wrote, without logs, checkpoints and kept rows.
A step whose inputs came out the same as before is not done again.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterable
from hashlib import sha256 as digest_of
from pathlib import Path

from latentgeo.core.run.cli import version
from latentgeo.core.run.files import atomic_write, sha256
from latentgeo.core.run.text import read_text
from latentgeo.eval.zoo.chain import MODELS, Step
from latentgeo.models.zoo.places import ZOO

ASIDE = {"checkpoints", "rows", "samples", "inversions"}  # folders that are no result
NOTES = {"run.toml", "run.json", "log.jsonl", ".lock"}  # files, likewise


class Kept:
    """The records of a chain in a folder."""

    def __init__(self, out: Path, embedded: bool) -> None:
        self.out, self.embedded = out, embedded
        self.results: dict[str, str] = {}  # digests of results, by step

    def record(self, name: str) -> dict[str, object]:
        """Return the record of a step; empty where there is none."""
        path = self.out / "state" / f"{name}.json"
        found: dict[str, object] = json.loads(read_text(path)) if path.is_file() else {}
        return found

    def write(self, name: str, **values: object) -> None:
        """Write the record of a step."""
        atomic_write(self.out / "state" / f"{name}.json", json.dumps(values, indent=1) + "\n")

    def result(self, name: str) -> str:
        """Return the digest of a step's result as it is; "" where there is none."""
        if name not in self.results:
            self.results[name] = (
                tree(zoo_files()) if name == MODELS and self.embedded else of(self.out / name)
            )
        return self.results[name]

    def made_of(self, step: Step) -> str:
        """Return the digest of all that decides a step's result."""
        inputs = {name: self.result(name) for name in step.needs}
        read = [sha256(path) for path in step.read]
        about = [step.command, step.options, step.files, step.continues, read, inputs]
        return digest_of(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def stands(self, step: Step) -> bool:
        """Whether a step's result is there, whole, and of what it would be made of now."""
        record = self.record(step.name)
        if record.get("result") is None or record["made_of"] != self.made_of(step):
            return False
        return record["result"] == self.result(step.name)

    def goes_on(self, step: Step) -> bool:
        """Whether a step was begun, of the same, and not ended."""
        record = self.record(step.name)
        return (
            bool(record)
            and record.get("result") is None
            and (record["made_of"] == self.made_of(step))
        )

    def begin(self, step: Step) -> None:
        """Note that a step begins; what another one left in its folder goes."""
        if not self.goes_on(step):
            shutil.rmtree(self.out / step.name, ignore_errors=True)
            if step.continues:
                shutil.copytree(self.out / step.continues, self.out / step.name)
            self.write(step.name, made_of=self.made_of(step), minutes=0.0)
        self.results.pop(step.name, None)

    def spend(self, step: Step, seconds: float, done: bool) -> None:
        """Note what a step took, and its result where it is done."""
        record = self.record(step.name)
        record["minutes"] = float(str(record["minutes"])) + seconds / 60
        if done:
            record |= {"result": self.result(step.name), "commit": commit()}
            record |= {"date": time.strftime("%Y-%m-%d")}
        self.write(step.name, **record)


def zoo_files() -> list[Path]:
    """Return the weights of the package, and what says what they are."""
    kinds = ("*.safetensors", "config.json")
    return [path for kind in kinds for path in ZOO.rglob(kind)]


def of(folder: Path) -> str:
    """Return the digest of a step's folder; "" where there is nothing in it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in NOTES]
    return tree(path for path in files if not ASIDE & set(path.relative_to(folder).parts))


def tree(files: Iterable[Path]) -> str:
    """Return a digest of files' names and bytes; "" where there are none."""
    lines = sorted(f"{path.parent.name}/{path.name} {sha256(path)}" for path in files)
    return digest_of("\n".join(lines).encode()).hexdigest() if lines else ""


def commit() -> str:
    """Return which commit the code is of; the package's version outside a checkout."""
    words = ["git", "-C", str(ZOO), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("latentgeo")
