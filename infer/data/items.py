"""What a data source is made of: an example, the reason an item is refused, the record of those.

Every refusal has one of a few short reasons, so that a run can count them. A source raises
`BadItem` for the item it was asked for; `Rejects` turns that into a counted warning
(`on_bad="skip"`) or lets it end the run (`on_bad="fail"`).

Captions are UTF-8 text of at most `CAPTION_BYTES`; a byte order mark is dropped and every run of
white space becomes one space. An empty caption is refused unless images may come without one.
"""

import json
import threading
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Literal, Self

from torch import Tensor

from latentgeo.core.run.text import decoded

OnBad = Literal["skip", "fail"]
CAPTION_BYTES = 1 << 16
FILE_BYTES = 1 << 28  # of a compressed image


@dataclass(frozen=True)
class Example:
    """One picture with its caption: `image` is (3, H, W), uint8 or floating point in [-1, 1]."""

    image: Tensor
    caption: str
    name: str


@dataclass(frozen=True)
class Label:
    """What is said of an example, its picture unread."""

    name: str
    caption: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    split: str = ""  # such as train or test; "" where nothing is said


class BadItem(ValueError):
    """An item that cannot be used: `name` says which, `reason` is the text it is counted by."""

    def __init__(self, name: str, reason: str, detail: str = "") -> None:
        """Keep the three parts; `detail` may hold what a decoder said."""
        text = f"{name}: {reason}" + (f" ({detail})" if detail else "")
        super().__init__(text.encode("utf-8", "backslashreplace").decode())  # of names of any bytes
        self.name, self.reason, self.detail = name, reason, detail

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str]]:
        """Rebuild from the three parts, so that the error crosses process boundaries."""
        return type(self), (self.name, self.reason, self.detail)


class Rejects:
    """The bad items of one source: each counted once, the first of a reason warned about."""

    def __init__(self, on_bad: OnBad) -> None:
        """Start empty; a policy other than skip or fail is a ValueError."""
        if on_bad not in ("skip", "fail"):
            raise ValueError(f"on_bad is {on_bad!r}; it is 'skip' or 'fail'")
        self.on_bad: OnBad = on_bad
        self.count: Counter[str] = Counter()
        self.names: set[str] = set()
        self._lock = threading.Lock()

    def add(self, bad: BadItem) -> None:
        """Count `bad` unless its item is known already; under `on_bad="fail"` raise it."""
        if self.on_bad == "fail":
            raise bad
        with self._lock:
            if bad.name in self.names:
                return
            self.names.add(bad.name)
            self.count[bad.reason] += 1
            first = self.count[bad.reason] == 1
        if first:
            warnings.warn(f"skipped {bad}; more of this reason are only counted", stacklevel=3)

    def summary(self) -> str:
        """Return one line such as `skipped 3 items: 2 truncated image, 1 empty caption`, or ''."""
        if not self.count:
            return ""
        parts = ", ".join(f"{n} {reason}" for reason, n in self.count.most_common())
        total = self.count.total()
        return f"skipped {total} item{'s' if total > 1 else ''}: {parts}"


def clean_caption(text: str | bytes, name: str, allow_empty: bool = False) -> str:
    """Return the caption as one line of text, or raise `BadItem` where it is no usable text."""
    try:
        if len(text) > CAPTION_BYTES:
            raise BadItem(name, "caption too long", f"over {CAPTION_BYTES} bytes")
        text = decoded(text, name) if isinstance(text, bytes) else text
        text.encode("utf-8")  # JSON can spell half of a surrogate pair, which no tokenizer takes
    except BadItem:
        raise
    except ValueError as error:
        raise BadItem(name, "caption is not UTF-8", str(error)) from None
    caption = " ".join(text.removeprefix("\ufeff").split())
    if not caption and not allow_empty:
        raise BadItem(name, "empty caption")
    return caption


def json_object(text: str | bytes, name: str) -> dict[str, object]:
    """Return the JSON object that `text` holds, or raise `BadItem`."""
    try:
        value = json.loads(decoded(text, name) if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise BadItem(name, "bad JSON", str(error)) from None
    if not isinstance(value, dict):
        raise BadItem(name, "bad JSON", f"an object is wanted, got {type(value).__name__}")
    return value


def text_field(row: dict[str, object], keys: tuple[str, ...], name: str) -> str | None:
    """Return the first of `keys` that `row` has, or None; a value that is no text is bad."""
    for key in keys:
        if row.get(key) is not None:
            value = row[key]
            if not isinstance(value, str):
                raise BadItem(name, "caption is not text", f"{key} is {type(value).__name__}")
            return value
    return None


def leaves_root(path: str) -> bool:
    """Whether a path that a file holds could lead out of the folder it is relative to."""
    parts = PureWindowsPath(path)  # it knows both separators and drives
    return bool(parts.drive or parts.root) or ".." in parts.parts or "\0" in path


def read_file(path: Path, limit: int = FILE_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes, or raise `BadItem`."""
    name = str(path)
    try:
        if not path.is_file():
            raise BadItem(name, "not a file" if path.exists() else "missing file")
        size = path.stat().st_size
        if size > limit:
            raise BadItem(name, "file too large", f"{size} bytes, at most {limit} are read")
        return path.read_bytes()
    except OSError as error:
        raise BadItem(name, "unreadable file", str(error)) from None
