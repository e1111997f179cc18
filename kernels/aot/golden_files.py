"""What each version of Triton made of the kernels, to see what another change makes of them.

golden/<version>.json has, for each row's key, the numbers of `rows.MEASURED`. Registers and
instructions follow from a compiler's version, so a report is compared with that of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from latentgeo.kernels.aot.rows import MEASURED, Request, Row

Numbers = dict[str, tuple[int, ...]]  # of each key, in the order of MEASURED
FOLDER = Path(__file__).with_name("golden")


def path(version: str) -> Path:
    """Return where the numbers of a version of Triton are."""
    return FOLDER / f"{version}.json"


def read(file: Path) -> Numbers | None:
    """Return the numbers in a file, or None if there is no such file.

    Raises `ValueError` for a file of other columns.
    """
    if not file.exists():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    if tuple(content["columns"]) != MEASURED:
        raise ValueError(f"{file}: got columns {content['columns']}, wanted {list(MEASURED)}")
    return {key: tuple(numbers) for key, numbers in content["kernels"].items()}


def updated(old: Numbers | None, request: Request, rows: Sequence[Row]) -> Numbers:
    """Return the numbers with those of a report in the place of what it covers.

    Raises `RuntimeError` for rows that share a key.
    """
    if twice := [key for key, count in Counter(row.key for row in rows).items() if count > 1]:
        raise RuntimeError(f"several kernels are {twice[0]!r}")
    kept = {key: numbers for key, numbers in (old or {}).items() if not request.covers(key)}
    return kept | {row.key: row.measured for row in rows}


def text(numbers: Numbers) -> str:
    """Return the content of a file, with a line for each kernel."""
    entries = [
        f"    {json.dumps(key, ensure_ascii=False)}: {json.dumps(numbers[key])}"
        for key in sorted(numbers)
    ]
    lines = ["{", f'  "columns": {json.dumps(MEASURED)},', '  "kernels": {']
    return "\n".join([*lines, ",\n".join(entries), "  }", "}", ""])


def differences(old: Numbers, request: Request, rows: Sequence[Row]) -> list[str]:
    """Return a line for each kernel of the file that the report has otherwise, or has no more."""
    new = updated(None, request, rows)
    lines = []
    for key in sorted(key for key in old if request.covers(key)):
        if key not in new:
            lines.append(f"{key}: gone")
        elif old[key] != new[key]:
            pairs = zip(MEASURED, old[key], new[key], strict=True)
            changed = (f"{name} {before} → {now}" for name, before, now in pairs if before != now)
            lines.append(f"{key}: {', '.join(changed)}")
    return lines
