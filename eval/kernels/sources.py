"""Which kernels a time is of: a hash of their sources, and the commit they are from."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "kernels"
ASIDE = ("aot",)  # rooms that no time depends on
SHOWN = 12  # letters of a name


@cache
def sources(folder: Path = FOLDER) -> str:
    """Return the name of what is in the files of kernels, and of how they are timed."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder)
        if place.parts[0] not in ASIDE:
            digest.update(f"{place.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:SHOWN]


@cache
def commit(folder: Path = FOLDER) -> str:
    """Return the commit that is checked out, with "+" where files differ from it; "" without."""
    head = _git(folder, "rev-parse", f"--short={SHOWN}", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ".")
    return head + ("+" if head and changed else "")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
