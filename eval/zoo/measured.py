"""The measured numbers of a chain, as they are tracked and as pages quote them.

`models/zoo/avatars/numbers.json` has for each step that measured its command, date and commit, and
its numbers by key: value, ends of the interval, n. A key is metric and model in small letters, as
in `compare.mrtl-ratio-to-base.smooth`; what pages do with it is in `eval/page/numbers.py`.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.eval.page.numbers import Value, filled
from latentgeo.eval.zoo.chain import Step
from latentgeo.eval.zoo.kept import Kept
from latentgeo.infer.sampling.typical import FILE as TYPICAL
from latentgeo.infer.sampling.typical import read_typical

NUMBERS = Path("models", "zoo", "avatars", "numbers.json")
RESULTS = "results.json"
Tracked = dict[str, dict[str, Any]]  # by step


def pages(root: Path) -> list[Path]:
    """Return the pages of a source tree that may quote numbers."""
    found = [root / "README.md", *root.glob("*/README.md"), *root.glob("models/zoo/*/README.md")]
    return sorted(path for path in found if path.is_file())


def tracked(root: Path) -> Tracked:
    """Return the numbers that a source tree keeps."""
    path = root / NUMBERS
    found: Tracked = json.loads(read_text(path)) if path.is_file() else {}
    return found


def values(kept: Tracked) -> dict[str, Value]:
    """Return the numbers by the keys that pages have; and `STEP.date`, `STEP.commit`."""
    found: dict[str, Value] = {}
    for step, about in kept.items():
        found |= {f"{step}.{key}": value for key, value in about["numbers"].items()}
        found |= {f"{step}.date": about["date"], f"{step}.commit": about["commit"]}
    return found


def keyed(results: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return value, interval and n of results by metric and model.

    Raises ValueError where one key would have two values.
    """
    found: dict[str, list[float]] = {}
    for one in results:
        key = f"{slug(one['metric'])}.{slug(one['model'])}"
        ends = one["interval"] or [one["value"], one["value"]]
        numbers = [*(float(f"{number:.6g}") for number in (one["value"], *ends)), one["n"]]
        if found.setdefault(key, numbers) != numbers:
            raise ValueError(f"{key}: got {found[key]} and {numbers}, wanted one result")
    return found


def numbers_of(folder: Path) -> dict[str, list[float]]:
    """Return the numbers that a step's folder holds, by key; none where it measured nothing."""
    if (folder / RESULTS).is_file():
        return keyed(json.loads(read_text(folder / RESULTS))["results"])
    if (folder / TYPICAL).is_file():
        known = read_typical(folder / TYPICAL)
        return {"bound": [*[round(known.bound, 3)] * 3, len(known.psnr)]}
    return {}


def slug(name: str) -> str:
    """Return a name as a part of a key."""
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-")


def write_pages(root: Path, steps: Sequence[Step], kept: Kept) -> list[str | Path]:
    """Track the numbers of the steps that stand, fill in the pages, and copy what is embedded.

    Returns the files that changed.
    """
    found, before = tracked(root), {path: read_text(path) for path in pages(root)}
    for step in [one for one in steps if kept.stands(one)]:
        folder, about = kept.out / step.name, kept.record(step.name)
        for source, target in step.embed.items():
            shutil.copyfile(folder / source, root / "models" / "zoo" / target)
        if numbers := numbers_of(folder):
            about = {"date": about["date"], "commit": about["commit"]}
            found[step.name] = {**about, "numbers": numbers}
    atomic_write(root / NUMBERS, as_text(found))
    now = {path: filled(text, values(found), strict=False) for path, text in before.items()}
    changed = [path for path, text in now.items() if text != before[path]]
    return [root / NUMBERS, *(atomic_write(path, now[path]) for path in changed)]


def as_text(found: Tracked) -> str:
    """Return the numbers as JSON, a line for each, so that a change shows."""
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[[^\]]*\]", lambda one: " ".join(one[0].split()), text) + "\n"
