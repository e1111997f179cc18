"""What an answer may do while it is checked: compute, and write to one folder that is thrown away.

The walls, from the system's own to Python's, each for what the one before may not be there for:

limits     processor time, memory, the size of a file; and by the parent, time on the clock
network    a namespace of its own, with no interface in it
files      Landlock: the temporary folder can be written, of others only what Python and this
           package need can be read; from Linux 6.12 on no signal reaches a process outside
Python     an audit hook: no process, no socket, no signal, no foreign library, no write elsewhere

They end with the process; its group is killed when it ends or is ended. Linux only: elsewhere the
limits and the hook stand, and `fenced` says what does not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from latentgeo.core.run.text import read_text

NEW_USER, NEW_NET = 0x10000000, 0x40000000  # of unshare(2)
CREATE, ADD, RESTRICT, NO_NEW_PRIVILEGES = 444, 445, 446, 38  # Landlock's calls; prctl(2)
EXECUTE, READ_FILE, READ_FOLDER, DEVICE_CONTROL = 1 << 0, 1 << 2, 1 << 3, 1 << 15
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
NETWORK, SCOPES = (1 << 2) - 1, (1 << 2) - 1  # TCP, from version 4; signals and sockets, from 6
LARGEST_FILE = 64 * 2**20  # bytes
FORBIDDEN = (  # audit events, by their beginnings
    *("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"),
    *("os.kill", "pty.", "ctypes.dl", "syslog.", "ftplib.", "smtplib.", "http.", "urllib."),
    *("resource.", "signal.", "webbrowser."),
)
CHANGING = (  # audit events about files, whose first arguments are paths
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "os.mkfifo", "os.mknod", "os.setxattr", "shutil."),
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(PermissionError):
    """What an answer tried is forbidden while it is checked."""


def fenced(
    folder: Path, readable: Iterable[Path], listed: Iterable[Path], seconds: int, memory: int
) -> list[str]:
    """Put the walls around this process, for good; return what could not be put up.

    `folder` is where it may write; of `listed` it may see the names below, not what is in the
    files; `memory` is in bytes, beyond what it has now.
    """
    lacking = _limited(seconds, memory)
    if sys.platform == "linux":
        lacking += _without_network() + _landlocked(folder, readable, listed)
    else:
        lacking += ["a network namespace and Landlock: this is no Linux"]
    sys.addaudithook(_hook(folder.resolve()))
    return lacking


def _limited(seconds: int, memory: int) -> list[str]:
    """Limit time, files and memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return ["a limit of memory: there is no /proc"]
    now = int(read_text(statm).split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
    return []


def _without_network() -> list[str]:
    """Leave the network, or say why that fails: unprivileged user namespaces may be forbidden."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER | NEW_NET) == 0 or libc.unshare(NEW_NET) == 0:
        return []
    return [f"a network namespace: {os.strerror(ctypes.get_errno())}"]


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def _landlocked(folder: Path, readable: Iterable[Path], listed: Iterable[Path]) -> list[str]:
    """Forbid all files but a folder to write, what may be read, and what may be listed."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, 0, 1)
    if version < 1:
        return [f"Landlock: {os.strerror(ctypes.get_errno())}"]
    every = next(rights for at, rights in reversed(RIGHTS.items()) if version >= at)
    wanted = _Ruleset(every, NETWORK if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    rules = libc.syscall(CREATE, ctypes.byref(wanted), size, 0)
    reading = READ_FILE | READ_FOLDER | EXECUTE
    allowed = [(path, reading) for path in readable]
    allowed += [(path, READ_FOLDER) for path in listed]
    allowed += [(Path("/dev/null"), every), (folder, every)]
    for path, rights in allowed:
        _allow(libc, rules, path, rights & every)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    failed = libc.syscall(RESTRICT, rules, 0)
    os.close(rules)
    return [f"Landlock: {os.strerror(ctypes.get_errno())}"] if failed else []


def _allow(libc: Any, rules: int, path: Path, rights: int) -> None:
    """Allow rights on a path and all below it, if it is there."""
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not path.is_dir():  # a file cannot be listed, nor have anything made in it
        rights &= EXECUTE | READ_FILE | (1 << 1) | (1 << 14) | DEVICE_CONTROL
    libc.syscall(ADD, rules, 1, ctypes.byref(_Beneath(rights, parent)), 0)
    os.close(parent)


def _hook(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    """Return an audit hook that raises Refused for what an answer has no need of."""

    def inside(path: object) -> bool:
        if isinstance(path, int) or path is None:
            return True  # a descriptor, which is open already
        found = Path(os.path.realpath(os.fsdecode(path)))  # type: ignore[arg-type]
        return found == Path(os.devnull) or found.is_relative_to(folder)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise Refused(f"an exercise has no need of {event}")
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (mode is None and (flags or 0) & WRITING)
            if writes and not inside(path):
                raise Refused(f"an exercise writes no files: {path}")
        elif event.startswith(CHANGING):
            paths = [one for one in arguments[:2] if isinstance(one, str | bytes | os.PathLike)]
            if not all(map(inside, paths)):
                raise Refused(f"an exercise changes no files: {paths[0]!r}")

    return watch


def end_group(leader: int) -> None:
    """End a process and all that it has started."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
