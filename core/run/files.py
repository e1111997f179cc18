"""Files that are either the old version or the new one, never half of either; no torch import."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast


def atomic_write(path: Path | str, content: bytes | str | Callable[[BinaryIO], object]) -> Path:
    """Write `content` to `path` through a temporary file in the same folder, and return the path.

    `content` is bytes, text (UTF-8), or a function that writes to the open binary file, such as
    `lambda file: torch.save(state, file)`. The data reach the disk before the rename does, so a
    crash, an interrupt, or a full disk leaves the old file as it was. Missing folders are made.

    Raises `OSError` naming the path when the system refuses, whatever a writer function makes of
    that; anything else that it raises passes through. The temporary file is removed in both cases.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _File(io.FileIO(temporary, "xb")) as file:
            _write(file, content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _named(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


class _File(io.BufferedWriter):
    """A file that remembers the error of a write: torch's writer hides it behind one of its own."""

    refused: OSError | None = None

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Write as any file does, and remember an `OSError`."""
        try:
            return super().write(data)
        except OSError as error:
            self.refused = error
            raise


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    import hashlib  # here because it takes longer than `--help` should

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(file: _File, content: bytes | str | Callable[[BinaryIO], object]) -> None:
    if not callable(content):
        file.write(content.encode() if isinstance(content, str) else content)
        return
    try:
        content(cast(BinaryIO, file))
    except Exception as error:
        if file.refused is not None:
            raise file.refused from error
        raise


def _named(error: OSError, path: Path) -> OSError:
    """Return `error` with the file's own name in it instead of the temporary one's."""
    if error.errno is None:
        return error
    reason = os.strerror(error.errno)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"{reason}; the file before it, if any, is untouched"
    return OSError(error.errno, f"could not write {path}: {reason}")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
