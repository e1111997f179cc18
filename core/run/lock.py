"""One run to a folder: what a command writes is locked from its first byte to its last.

The lock is a file `.lock` in the folder (beside a file it is `.NAME.lock`), held by the system and
so let go when its process ends, however that ends. It says whose it is. One that is there and not
held was left by a process that died: it is told, and taken. Imports no torch.
"""

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

HELD: set[Path] = set()  # locks of this process, which may take them again


@contextmanager
def locked(place: Path, is_file: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, or of a file, for the duration of a `with` block.

    Missing folders are made, and those still empty at the end are removed. Of the processes that
    torchrun started the main one takes the lock. Raises ValueError where another process holds it,
    and where there is a file in the folder's place or the other way round.
    """
    _check_kind(place, is_file)
    path = (place.with_name(f".{place.name}.lock") if is_file else place / ".lock").resolve()
    if path in HELD or os.environ.get("RANK", "0") != "0":
        yield
        return
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = _take(path, place)
        HELD.add(path)
        try:
            yield
        finally:
            HELD.discard(path)
            _let_go(path, descriptor)
    finally:
        _remove_empty(made)


def _check_kind(place: Path, is_file: bool) -> None:
    if is_file and place.is_dir():
        raise ValueError(f"{place} is a folder, wanted a file to write")
    folder = place.parent if is_file else place
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file, wanted a folder to write to")


def _take(path: Path, place: Path) -> int:
    """Return the open, locked file; ValueError names the process that has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try(descriptor):
                raise ValueError(
                    f"{place} is being written by {_holder(descriptor)}; "
                    "wait for it, or choose another place"
                )
            if _is_at(descriptor, path):  # else its holder removed it after we opened it
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    if os.fstat(descriptor).st_size:
        before = _holder(descriptor)
        print(f"{place} was left by {before}, which is dead; going on", file=sys.stderr)
    os.ftruncate(descriptor, 0)
    begun = time.strftime("%Y-%m-%d %H:%M:%S")
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"process {os.getpid()} on {platform.node()}, begun {begun}".encode())
    return descriptor


def _holder(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 1000).decode("utf-8", "replace").strip() or "another process"


def _try(descriptor: int) -> bool:
    """Lock an open file if no other process has it; False if one has."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a locked byte cannot be read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:  # a file system that has no locks
        print(f"no lock against a second run in the same folder: {error}", file=sys.stderr)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _let_go(path: Path, descriptor: int) -> None:
    """Remove the lock before others may have it; where open files stay, empty it."""
    try:
        os.ftruncate(descriptor, 0)
        path.unlink(missing_ok=True)
    except PermissionError:
        pass
    finally:
        os.close(descriptor)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # something is in it, or somebody else removed it
            return
