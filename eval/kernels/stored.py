"""The rows of `bench-kernels` on disk: each says which sources its time is of.

A folder keeps the rows of every version of the kernels. A run goes on from those of its own sources
(`sources.py`) alone; the commit is written down beside them, and means nothing to a run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latentgeo.eval.kernels.sources import commit, sources
from latentgeo.eval.runs.rows import append_rows, read_rows
from latentgeo.kernels.bench.roofline import Roofline
from latentgeo.kernels.bench.rows import Row, from_json

Key = tuple[str, str]  # a case and a contender
WHOSE = ("sources", "commit")  # what a line on disk has besides its row


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Rows of one version of the kernels."""

    name: str  # as asked for
    folder: Path
    sources: str
    commit: str
    rows: dict[Key, Row]
    machine: Roofline | None  # measured beside them

    def __str__(self) -> str:
        """Return what it is of, as a line."""
        commit = f", commit {self.commit}" if self.commit else ""
        return f"{self.folder}, sources {self.sources}{commit}, {len(self.rows)} results"


def keep(folder: Path | None, found: Row | Roofline) -> None:
    """Add a line to a folder's rows."""
    if folder is not None:
        append_rows(folder, [{**asdict(found), "sources": sources(), "commit": commit()}])


def place(line: Mapping[str, object]) -> tuple[str, str, str]:
    """Return which line it is; `KeyError` for one that is none, or of sources unknown."""
    version = str(line["sources"])
    if "case" not in line:
        return version, str(line["device"]), ""
    return version, str(line["case"]), str(line["contender"])


def of_sources(lines: Mapping[tuple[str, str, str], Mapping[str, Any]], version: str
               ) -> dict[Key, Row]:  # fmt: skip
    """Return the rows among the lines that are of these sources."""
    return {
        (case, contender): from_json(without(line))
        for (of, case, contender), line in lines.items()
        if of == version and contender
    }


def without(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line without what says whose it is."""
    return {key: value for key, value in line.items() if key not in WHOSE}


def stored(name: str) -> Stored:
    """Return the rows of a folder, of the sources last written, or FOLDER@the beginning of a name.

    Raises `FileNotFoundError` for a folder without rows, and `ValueError` for a name of no sources.
    """
    path, _, wanted = name.partition("@")
    folder = Path(path)
    lines = read_rows(folder, place)
    versions = {str(line["sources"]): str(line["commit"]) for line in lines.values()}
    if not versions:
        raise FileNotFoundError(f"{folder}: no rows of bench-kernels, which --out writes there")
    fitting = [
        version
        for version, commit in versions.items()
        if version.startswith(wanted) or (wanted and commit.startswith(wanted))
    ]
    if not fitting:
        known = ", ".join(f"{version} ({commit})" for version, commit in versions.items())
        raise ValueError(f"{name}: no rows are of {wanted!r}; there are those of {known}")
    version = fitting[-1]
    return Stored(
        name=name,
        folder=folder,
        sources=version,
        commit=versions[version],
        rows=of_sources(lines, version),
        machine=_machine(lines, version),
    )


def machine_of(folder: Path) -> Roofline | None:
    """Return the rates that a folder has beside the rows of these kernels, if any."""
    return _machine(read_rows(folder, place), sources())


def _machine(
    lines: Mapping[tuple[str, str, str], Mapping[str, Any]], version: str
) -> Roofline | None:
    """Return the rates measured last beside rows of these sources."""
    found = [without(line) for (of, _, who), line in lines.items() if of == version and not who]
    return Roofline(**found[-1]) if found else None
